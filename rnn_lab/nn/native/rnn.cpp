// Elman's simple recurrent network.
//
// Elman (1990), https://doi.org/10.1207/s15516709cog1402_1.

#include "decoder.h"

namespace rnn_lab {

template <class T> struct RNN {
  static constexpr int gates = 1, states = 1;
  static constexpr bool has_gates = false, has_saved = false;

  explicit RNN(const Layer<T>&) {}

  void forward(int64_t, Vec<T>* u, const Vec<T>* sums, const Vec<T>*, Vec<T>* after, Vec<T>&) const {
    after[0] = u[0] = tangent(u[0] + sums[0]);
  }

  void restore(const Vec<T>* gates, const Vec<T>*, Vec<T>* after) const { after[0] = gates[0]; }

  void backward(int64_t, Vec<T>* gates, const Vec<T>*, const Vec<T>* after, Vec<T>&, Vec<T>* grads) const {
    gates[0] = grads[0] * (T(1) - after[0] * after[0]);
    grads[0] = Vec<T>{};
  }
};

}  // namespace rnn_lab

CELL(rnn, RNN)
DECODER(rnn, RNN)

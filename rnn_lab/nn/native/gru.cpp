// Gated recurrent unit, with the reset gate applied to the projected state.
//
// Cho et al. (2014), https://arxiv.org/abs/1406.1078.

#include "decoder.h"

namespace rnn_lab {

// Gates r, z, n; `parameters` is the recurrent bias of n, which the others have in the projected input.
template <class T> struct GRU {
  static constexpr int gates = 3, states = 1;
  static constexpr bool has_gates = true, has_saved = true;  // projected state of n
  const T* bias;
  int64_t units;

  explicit GRU(const Layer<T>& layer) : bias(layer.parameters), units(layer.units) {}

  void forward(int64_t j, Vec<T>* u, const Vec<T>* sums, const Vec<T>* before, Vec<T>* after, Vec<T>& saved) const {
    u[0] = sigmoid<T>(u[0] + sums[0]);
    u[1] = sigmoid<T>(u[1] + sums[1]);
    saved = sums[2] + load(bias + j, units - j);
    u[2] = tangent(u[2] + u[0] * saved);
    after[0] = u[2] + u[1] * (before[0] - u[2]);
  }

  void restore(const Vec<T>*, const Vec<T>*, Vec<T>*) const {}

  void backward(int64_t, Vec<T>* gates, const Vec<T>* before, const Vec<T>*, Vec<T>& saved, Vec<T>* grads) const {
    const Vec<T> r = gates[0], z = gates[1], n = gates[2], grad = grads[0];
    gates[2] = grad * (T(1) - z) * (T(1) - n * n);
    gates[1] = grad * (before[0] - n) * z * (T(1) - z);
    gates[0] = gates[2] * saved * r * (T(1) - r);
    saved = gates[2] * r;
    grads[0] = grad * z;
  }
};

}  // namespace rnn_lab

CELL(gru, GRU)
DECODER(gru, GRU)

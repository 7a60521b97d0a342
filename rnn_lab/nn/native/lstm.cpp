// Long short-term memory, without and with peephole connections.
//
// Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; forget gate: Gers et al.
// (2000); peepholes: Gers & Schmidhuber (2000), https://doi.org/10.1109/IJCNN.2000.861302.

#include "decoder.h"

namespace rnn_lab {

// Gates i, f, g, o; states h, c. The tanh of c is computed again in the backward pass. With peepholes,
// `parameters` are the weights (3, units) from the cell state to i, f and o.
template <class T, bool peepholes> struct AnyLSTM {
  static constexpr int gates = 4, states = 2;
  static constexpr bool has_gates = true, has_saved = false;
  const T* weights;
  int64_t units;

  explicit AnyLSTM(const Layer<T>& layer) : weights(layer.parameters), units(layer.units) {}

  Vec<T> peephole(int gate, int64_t j) const { return load(weights + gate * units + j, units - j); }

  void forward(int64_t j, Vec<T>* u, const Vec<T>* sums, const Vec<T>* before, Vec<T>* after, Vec<T>&) const {
    for (int gate = 0; gate < 4; gate++) u[gate] += sums[gate];
    if (peepholes) {
      u[0] += peephole(0, j) * before[1];
      u[1] += peephole(1, j) * before[1];
    }
    u[0] = sigmoid<T>(u[0]);
    u[1] = sigmoid<T>(u[1]);
    u[2] = tangent(u[2]);
    after[1] = u[1] * before[1] + u[0] * u[2];
    if (peepholes) u[3] += peephole(2, j) * after[1];
    u[3] = sigmoid<T>(u[3]);
    after[0] = u[3] * tangent(after[1]);
  }

  void restore(const Vec<T>* gates, const Vec<T>* before, Vec<T>* after) const {
    after[1] = gates[1] * before[1] + gates[0] * gates[2];
  }

  void backward(int64_t j, Vec<T>* gates, const Vec<T>* before, const Vec<T>* after, Vec<T>&, Vec<T>* grads) const {
    const Vec<T> i = gates[0], f = gates[1], g = gates[2], o = gates[3], y = tangent(after[1]);
    gates[3] = grads[0] * y * o * (T(1) - o);
    Vec<T> grad = grads[1] + grads[0] * o * (T(1) - y * y);
    if (peepholes) grad += gates[3] * peephole(2, j);
    gates[0] = grad * g * i * (T(1) - i);
    gates[1] = grad * before[1] * f * (T(1) - f);
    gates[2] = grad * i * (T(1) - g * g);
    grads[0] = Vec<T>{};
    grads[1] = grad * f;
    if (peepholes) grads[1] += gates[0] * peephole(0, j) + gates[1] * peephole(1, j);
  }
};

template <class T> using LSTM = AnyLSTM<T, false>;
template <class T> using PeepholeLSTM = AnyLSTM<T, true>;

// Gradient of the peephole weights from the gradients of the gates, in `result`, (3, units).
template <class T> void peephole_gradient(const Batch& batch, const Layer<T>& layer, T* result) {
  const int64_t H = layer.units;
  std::fill_n(result, 3 * H, T(0));
  Steps(batch).each([&](int64_t k, int64_t row, int64_t step) {
    const T *gates = layer.gates + k * 4 * H, *before = layer.before(batch, 1, row, step);
    const T* after = layer.saved ? layer.saved + k * H : layer.states[1] + batch.position(row, step) * H;
    for (int64_t j = 0; j < H; j++) {
      result[j] += gates[j] * before[j];
      result[H + j] += gates[H + j] * before[j];
      result[2 * H + j] += gates[3 * H + j] * after[j];
    }
  });
}

}  // namespace rnn_lab

#define PEEPHOLES(T, dtype)                                                                                     \
  extern "C" void rnn_lab_peephole_lstm_parameters_##dtype(const rnn_lab::Batch* batch,                         \
                                                           const rnn_lab::Layer<T>* layer, T* result) {         \
    rnn_lab::peephole_gradient(*batch, *layer, result);                                                         \
  }
PEEPHOLES(float, float32)
PEEPHOLES(double, float64)
CELL(lstm, LSTM)
DECODER(lstm, LSTM)
CELL(peephole_lstm, PeepholeLSTM)

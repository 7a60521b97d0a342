// LSTM with exponential gates, a normalizer and a stabilizer.
//
// Beck et al. (2024), https://arxiv.org/abs/2405.04517, section 2.2 and appendix A.2.

#include "recurrence.h"

namespace rnn_lab {

// log(1 + x) for x from 0 to 1, as 2 artanh(x / (2 + x)): its series has a small relative error also
// where x is small.
inline Vec<float> log_one_plus(Vec<float> x) {
  const Vec<float> s = x / (2.0f + x), q = s * s;
  Vec<float> p = q * (2.0f / 15) + 2.0f / 13;
  p = p * q + 2.0f / 11;
  p = p * q + 2.0f / 9;
  p = p * q + 2.0f / 7;
  p = p * q + 2.0f / 5;
  p = p * q + 2.0f / 3;
  return s * (p * q + 2.0f);
}

inline Vec<double> log_one_plus(Vec<double> x) {
  for (int i = 0; i < width<double>; i++) x[i] = std::log1p(x[i]);
  return x;
}

// Gates i, f, z, o; states h, c, n, m. `saved` is 1 - sigmoid of the pre-activation of f.
template <class T> struct SLSTM {
  static constexpr int gates = 4, states = 4;
  static constexpr bool has_gates = true, has_saved = true;

  explicit SLSTM(const Layer<T>&) {}

  void forward(int64_t, Vec<T>* u, const Vec<T>* sums, const Vec<T>* before, Vec<T>* after, Vec<T>& saved) const {
    const Vec<T> zero{}, one = zero + T(1);
    for (int gate = 0; gate < 4; gate++) u[gate] += sums[gate];
    const Vec<T> small = exponential(u[1] < zero ? u[1] : -u[1]);
    saved = (u[1] < zero ? one : small) / (one + small);
    const Vec<T> log_f = (u[1] < zero ? u[1] : zero) - log_one_plus(small) + before[3];
    const Vec<T> m = log_f > u[0] ? log_f : u[0];
    after[3] = before[2] == zero ? u[0] : m;  // there is no m before the first step
    const Vec<T> exponent = log_f - after[3];
    u[0] = exponential(u[0] - after[3]);
    u[1] = exponential(exponent > zero ? zero : exponent);
    u[2] = tangent(u[2]);
    u[3] = sigmoid<T>(u[3]);
    after[1] = u[1] * before[1] + u[0] * u[2];
    after[2] = u[1] * before[2] + u[0];
    after[0] = u[3] * (after[1] / after[2]);
  }

  void restore(const Vec<T>* gates, const Vec<T>* before, Vec<T>* after) const {
    after[1] = gates[1] * before[1] + gates[0] * gates[2];
    after[2] = gates[1] * before[2] + gates[0];
  }

  // The output does not depend on m: `grads[3]` is the gradient of m with c exp(m) and n exp(m)
  // unchanged, so that it comes from the final state alone.
  void backward(int64_t, Vec<T>* gates, const Vec<T>* before, const Vec<T>* after, Vec<T>& saved, Vec<T>* grads) const {
    const Vec<T> zero{}, one = zero + T(1), half = zero + T(0.5);
    const Vec<T> i = gates[0], f = gates[1], z = gates[2], o = gates[3];
    const Vec<T> inverse = one / after[2], ratio = after[1] * inverse, of_ratio = grads[0] * o * inverse;
    const Vec<T> of_c = grads[1] + of_ratio, of_n = grads[2] - of_ratio * ratio;
    const Vec<T> larger = f > i ? one : f == i ? half : zero;
    const Vec<T> of_m = grads[3], from_f = before[2] == zero ? zero : larger;
    gates[0] = (of_c * z + of_n) * i + of_m * (one - from_f);
    gates[1] = saved * ((of_c * before[1] + of_n * before[2]) * f + of_m * from_f);
    gates[2] = of_c * i * (one - z * z);
    gates[3] = grads[0] * ratio * o * (one - o);
    saved = gates[3];
    grads[0] = zero;
    grads[1] = of_c * f;
    grads[2] = of_n * f;
    grads[3] = of_m * from_f;
  }
};

// c and n are stored divided by exp(m), so their gradients are parts of that of m.
template <class T> void slstm_backward(const Batch& batch, Layer<T> layer) {
  const int64_t H = layer.units;
  const T* const* given = layer.grad_last;
  Memory<T> of_m(batch.batch * H);
  for (int64_t row = 0; row < batch.batch; row++) {
    const int64_t last = batch.position(row, batch.length(row) - 1);
    for (int64_t j = 0; j < H; j++) {
      const int64_t k = row * H + j, at = last * H + j;
      of_m[k] = given[3] ? given[3][k] : T(0);
      if (given[1]) of_m[k] -= given[1][k] * layer.states[1][at];
      if (given[2]) of_m[k] -= given[2][k] * layer.states[2][at];
    }
  }
  layer.grad_last[3] = of_m.data();
  backward(batch, layer, SLSTM<T>(layer));
  T* const* grads = layer.grad_first;
  for (int64_t k = 0; k < batch.batch * H; k++)
    grads[3][k] += layer.first[1][k] * grads[1][k] + layer.first[2][k] * grads[2][k];
}

}  // namespace rnn_lab

#define SLSTM_FUNCTIONS(T, dtype)                                                                                  \
  extern "C" void rnn_lab_slstm_forward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) {     \
    rnn_lab::forward(*batch, *layer, rnn_lab::SLSTM<T>(*layer));                                                   \
  }                                                                                                                \
  extern "C" void rnn_lab_slstm_backward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) {    \
    rnn_lab::slstm_backward(*batch, *layer);                                                                       \
  }
SLSTM_FUNCTIONS(float, float32)
SLSTM_FUNCTIONS(double, float64)

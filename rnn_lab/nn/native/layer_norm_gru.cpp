// Gated recurrent unit with layer norm.
//
// Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 26 to 28.

#include "layer_norm.h"

namespace rnn_lab {

// Gates r, z, n.
template <class T> struct LayerNormGRU {
  static constexpr int gates = 3, states = 1, own = 0;
  Norms<T, gates> norms;
  int64_t units;

  LayerNormGRU(const Layer<T>& layer, bool together)
      : norms{layer.parameters, layer.units, together}, units(layer.units) {}

  __attribute__((noinline)) void forward(T* x_product, T* h_product, T* const* now) const {
    const Norm<T, gates> x = norms.of_input(x_product), h = norms.of_state(h_product);
    each_vector<T>(units, [&](int64_t j, auto count) {
      const Vec<T> r = sigmoid<T>(x(0, j, count) + h(0, j, count)), z = sigmoid<T>(x(1, j, count) + h(1, j, count));
      const Vec<T> n = tangent(x(2, j, count) + r * h(2, j, count));
      store<T>(now[0] + j, n + z * (load(now[0] + j, count) - n), count);
    });
  }

  __attribute__((noinline)) void backward(T* x_product, T* h_product, const T* const* before, const T* const*,
                                          T* const* grads, T* sums, T* scratch, T* of_state) const {
    Norm<T, gates> x = norms.of_input(x_product), h = norms.of_state(h_product);
    T* reset = scratch + gates * units;
    each_vector<T>(units, [&](int64_t j, auto count) {
      const Vec<T> r = sigmoid<T>(x(0, j, count) + h(0, j, count)), z = sigmoid<T>(x(1, j, count) + h(1, j, count));
      const Vec<T> projected = h(2, j, count);
      const Vec<T> n = tangent(x(2, j, count) + r * projected), grad = load(grads[0] + j, count);
      const Vec<T> of_n = grad * (T(1) - z) * (T(1) - n * n);
      store<T>(scratch + j, of_n * projected * r * (T(1) - r), count);
      store<T>(scratch + units + j, grad * (load(before[0] + j, count) - n) * z * (T(1) - z), count);
      store<T>(scratch + 2 * units + j, of_n, count);
      store<T>(reset + j, r, count);
      store<T>(grads[0] + j, grad * z, count);
    });
    x.backward(scratch, sums, sums + gates * units, nullptr);
    each_vector<T>(units, [&](int64_t j, auto count) {
      T* at = scratch + 2 * units + j;
      store<T>(at, load(at, count) * load(reset + j, count), count);
    });
    h.backward(scratch, sums + 2 * gates * units, sums + 3 * gates * units, of_state);
  }
};

}  // namespace rnn_lab

NORM_CELL(layer_norm_gru, LayerNormGRU)

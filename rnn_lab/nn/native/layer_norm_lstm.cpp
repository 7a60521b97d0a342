// Long short-term memory with layer norm, which also normalizes the cell state for the output.
//
// Ba et al. (2016), https://arxiv.org/abs/1607.06450, equations 20 to 22.

#include "layer_norm.h"

namespace rnn_lab {

// Gates i, f, g, o; states h, c; further parameters are gain and bias of the norm of c.
template <class T> struct LayerNormLSTM {
  static constexpr int gates = 4, states = 2, own = 2;
  Norms<T, gates> norms;
  int64_t units;

  LayerNormLSTM(const Layer<T>& layer, bool together)
      : norms{layer.parameters, layer.units, together}, units(layer.units) {}

  Norm<T, 1> of_cell(const T* c) const {
    const T* gain = norms.parameters + 4 * gates * units;
    return {const_cast<T*>(c), gain, gain + units, units, true};
  }

  __attribute__((noinline)) void forward(T* x_product, T* h_product, T* const* now) const {
    const Norm<T, gates> x = norms.of_input(x_product), h = norms.of_state(h_product);
    each_vector<T>(units, [&](int64_t j, auto count) {
      const Vec<T> i = sigmoid<T>(x(0, j, count) + h(0, j, count)), f = sigmoid<T>(x(1, j, count) + h(1, j, count));
      const Vec<T> g = tangent(x(2, j, count) + h(2, j, count)), o = sigmoid<T>(x(3, j, count) + h(3, j, count));
      store<T>(now[1] + j, f * load(now[1] + j, count) + i * g, count);
      store<T>(now[0] + j, o, count);
    });
    const Norm<T, 1> c = of_cell(now[1]);
    each_vector<T>(units, [&](int64_t j, auto count) {
      store<T>(now[0] + j, load(now[0] + j, count) * tangent(c(0, j, count)), count);
    });
  }

  __attribute__((noinline)) void backward(T* x_product, T* h_product, const T* const* before, const T* const* after,
                                          T* const* grads, T* sums, T* scratch, T* of_state) const {
    Norm<T, gates> x = norms.of_input(x_product), h = norms.of_state(h_product);
    const Norm<T, 1> c = of_cell(after[1]);
    T *of_normed = scratch + gates * units, *forget = of_normed + units;
    T *of_gain = sums + 4 * gates * units, *of_bias = of_gain + units;
    each_vector<T>(units, [&](int64_t j, auto count) {
      const Vec<T> i = sigmoid<T>(x(0, j, count) + h(0, j, count)), f = sigmoid<T>(x(1, j, count) + h(1, j, count));
      const Vec<T> g = tangent(x(2, j, count) + h(2, j, count)), o = sigmoid<T>(x(3, j, count) + h(3, j, count));
      const Vec<T> y = tangent(c(0, j, count)), grad = load(grads[0] + j, count), normed = grad * o * (T(1) - y * y);
      store<T>(scratch + j, g * i * (T(1) - i), count);
      store<T>(scratch + units + j, load(before[1] + j, count) * f * (T(1) - f), count);
      store<T>(scratch + 2 * units + j, i * (T(1) - g * g), count);
      store<T>(scratch + 3 * units + j, grad * y * o * (T(1) - o), count);
      store<T>(of_normed + j, normed, count);
      store<T>(forget + j, f, count);
      store<T>(of_gain + j, load(of_gain + j, count) + normed * c.standard(0, j, count), count);
      store<T>(of_bias + j, load(of_bias + j, count) + normed, count);
    });
    typename Norm<T, 1>::Averages means;
    c.average_grads(of_normed, means);
    each_vector<T>(units, [&](int64_t j, auto count) {
      const Vec<T> grad = load(grads[1] + j, count) + c.input_grad(means, load(of_normed + j, count), 0, j, count);
      for (int gate = 0; gate < 3; gate++) {
        T* at = scratch + gate * units + j;
        store<T>(at, load(at, count) * grad, count);
      }
      store<T>(grads[1] + j, grad * load(forget + j, count), count);
    });
    std::fill_n(grads[0], units, T(0));
    x.backward(scratch, sums, sums + gates * units, nullptr);
    h.backward(scratch, sums + 2 * gates * units, sums + 3 * gates * units, of_state);
  }
};

}  // namespace rnn_lab

NORM_CELL(layer_norm_lstm, LayerNormLSTM)

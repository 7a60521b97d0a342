// Layers whose units see their own state alone: IndRNN, SRU and LRU.
//
// Li et al. (2018), https://arxiv.org/abs/1803.04831; Lei et al. (2018),
// https://arxiv.org/abs/1709.02755; Orvieto et al. (2023), https://arxiv.org/abs/2303.06349.

#include "scan.h"

namespace rnn_lab {

// Weight: from the state to itself.
template <class T> struct IndRNN {
  static constexpr int inputs = 1, weights = 1;
  static constexpr bool has_output = false, reads_x = false;

  static Vec<T> forward(In<T>& in, Vec<T>&) {
    const Vec<T> zero{}, sum = in.u[0] + in.weights[0] * in.before;
    return sum < zero ? zero : sum;  // NaN stays
  }

  static void backward(const In<T>& in, Vec<T> after, Vec<T>, Vec<T>& of_state, In<T>& of) {
    const Vec<T> zero{};
    of.u[0] = after > zero ? of_state : zero;
    of.weights[0] = of.u[0] * in.before;
    of_state = of.u[0] * in.weights[0];
  }
};

// Inputs and gates: candidate, gates f and r and, unless it is x, the highway's input; weights: from the state
// to f and r; the factor is that of the highway.
template <class T, bool projected> struct AnySRU {
  static constexpr int inputs = projected ? 4 : 3, weights = 2;
  static constexpr bool has_output = true, reads_x = !projected;

  static Vec<T> gate(const In<T>& in, int k) { return sigmoid<T>(in.u[1 + k] + in.weights[k] * in.before); }
  static Vec<T> highway(const In<T>& in) { return (projected ? in.u[3] : in.x) * in.factor; }

  static Vec<T> forward(In<T>& in, Vec<T>& output) {
    const Vec<T> f = in.u[1] = gate(in, 0), r = in.u[2] = gate(in, 1), x = highway(in);
    const Vec<T> c = in.u[0] + f * (in.before - in.u[0]);
    output = x + r * (c - x);
    return c;
  }

  static void backward(const In<T>& in, Vec<T> after, Vec<T> of_output, Vec<T>& of_state, In<T>& of) {
    const Vec<T> f = in.u[1], r = in.u[2];
    of_state += of_output * r;
    of.u[0] = of_state * (T(1) - f);
    of.u[1] = of_state * (in.before - in.u[0]) * f * (T(1) - f);
    of.u[2] = of_output * (after - highway(in)) * r * (T(1) - r);
    (projected ? of.u[3] : of.x) = of_output * (T(1) - r) * in.factor;
    for (int k = 0; k < 2; k++) of.weights[k] = of.u[1 + k] * in.before;
    of_state = of_state * f + of.u[1] * in.weights[0] + of.u[2] * in.weights[1];
  }
};

// Exchange the values of each pair.
template <class T> inline Vec<T> exchange(Vec<T> x) {
#ifdef __clang__
  Vec<T> y;
  for (int i = 0; i < width<T>; i++) y[i] = x[i ^ 1];
  return y;
#else
  typename Simd<T>::Integers order;
  for (int i = 0; i < width<T>; i++) order[i] = i ^ 1;
  return __builtin_shuffle(x, order);
#endif
}

// Two units are a complex number, real part first. Weights: real part of the eigenvalue for both, and minus
// and plus its imaginary part.
template <class T> struct LRU {
  static constexpr int inputs = 1, weights = 2;
  static constexpr bool has_output = false, reads_x = false;

  static Vec<T> forward(In<T>& in, Vec<T>&) {
    return in.u[0] + in.weights[0] * in.before + in.weights[1] * exchange<T>(in.before);
  }

  static void backward(const In<T>& in, Vec<T>, Vec<T>, Vec<T>& of_state, In<T>& of) {
    of.u[0] = of_state;
    of.weights[0] = of_state * in.before;
    of.weights[1] = of_state * exchange<T>(in.before);
    of_state = of_state * in.weights[0] + exchange<T>(of_state * in.weights[1]);
  }
};

template <class T> using SRU = AnySRU<T, false>;
template <class T> using ProjectedSRU = AnySRU<T, true>;

}  // namespace rnn_lab

SCAN(indrnn, IndRNN)
SCAN(sru, SRU)
SCAN(projected_sru, ProjectedSRU)
SCAN(lru, LRU)

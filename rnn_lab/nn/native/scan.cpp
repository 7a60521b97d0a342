// Layers whose gates see the input alone: minGRU, minLSTM, QRNN and RG-LRU.
//
// Feng et al. (2024), https://arxiv.org/abs/2410.01201; Bradbury et al. (2017),
// https://arxiv.org/abs/1611.01576; De et al. (2024), https://arxiv.org/abs/2402.19427.

#include "scan.h"

namespace rnn_lab {

// Candidates of minGRU and minLSTM: u + 0.5 above zero, a sigmoid below.
template <class T> inline Vec<T> positive(Vec<T> u) { return u > Vec<T>{} ? u + T(0.5) : sigmoid<T>(u); }

// Its gradient from the result.
template <class T> inline Vec<T> positive_gradient(Vec<T> y, Vec<T> grad) {
  return y > Vec<T>{} + T(0.5) ? grad : grad * y * (T(1) - y);
}

// Inputs: update gate, candidate. Gates: kept share, positive candidate.
template <class T> struct MinGRU {
  static constexpr int inputs = 2, weights = 0;
  static constexpr bool has_output = false, reads_x = false;

  static Vec<T> forward(In<T>& in, Vec<T>&) {
    const Vec<T> keep = in.u[0] = sigmoid<T>(-in.u[0]), x = in.u[1] = positive<T>(in.u[1]);
    return x + keep * (in.before - x);
  }

  static void backward(const In<T>& in, Vec<T>, Vec<T>, Vec<T>& of_state, In<T>& of) {
    const Vec<T> keep = in.u[0], x = in.u[1], update = T(1) - keep;
    of.u[0] = of_state * (x - in.before) * keep * update;
    of.u[1] = positive_gradient<T>(x, of_state * update);
    of_state *= keep;
  }
};

// Inputs: forget gate, input gate, candidate, which becomes positive. The gates are divided by their sum.
template <class T> struct MinLSTM {
  static constexpr int inputs = 3, weights = 0;
  static constexpr bool has_output = false, reads_x = false;

  // The kept share is the sigmoid of log s(f) - log s(i): exponentials of large numbers do not occur.
  static Vec<T> share(Vec<T> f, Vec<T> i, Vec<T>& closed_f, Vec<T>& closed_i) {
    const Vec<T> zero{}, one = zero + T(1);
    const Vec<T> low_f = f < zero ? f : zero, low_i = i < zero ? i : zero;
    const Vec<T> small_f = exponential(low_f + low_f - f), small_i = exponential(low_i + low_i - i);
    const Vec<T> sum_f = one + small_f, sum_i = one + small_i;
    closed_f = quotient(f < zero ? one : small_f, sum_f);  // 1 - s(f)
    closed_i = quotient(i < zero ? one : small_i, sum_i);
    return quotient(sum_i, sum_i + exponential(low_i - low_f) * sum_f);
  }

  static Vec<T> forward(In<T>& in, Vec<T>&) {
    Vec<T> closed_f, closed_i;
    const Vec<T> keep = share(in.u[0], in.u[1], closed_f, closed_i), x = in.u[2] = positive<T>(in.u[2]);
    return x + keep * (in.before - x);
  }

  static void backward(const In<T>& in, Vec<T>, Vec<T>, Vec<T>& of_state, In<T>& of) {
    Vec<T> closed_f, closed_i;
    const Vec<T> keep = share(in.u[0], in.u[1], closed_f, closed_i), x = in.u[2];
    const Vec<T> update = T(1) - keep, of_share = of_state * (in.before - x) * keep * update;
    of.u[0] = of_share * closed_f;
    of.u[1] = -of_share * closed_i;
    of.u[2] = positive_gradient<T>(x, of_state * update);
    of_state *= keep;
  }
};

// Inputs and gates: candidate, forget gate, output gate.
template <class T> struct QRNN {
  static constexpr int inputs = 3, weights = 0;
  static constexpr bool has_output = true, reads_x = false;

  static Vec<T> forward(In<T>& in, Vec<T>& output) {
    const Vec<T> x = in.u[0] = tangent(in.u[0]), keep = in.u[1] = sigmoid<T>(in.u[1]);
    const Vec<T> c = x + keep * (in.before - x);
    in.u[2] = sigmoid<T>(in.u[2]);
    output = in.u[2] * c;
    return c;
  }

  static void backward(const In<T>& in, Vec<T> after, Vec<T> of_output, Vec<T>& of_state, In<T>& of) {
    const Vec<T> x = in.u[0], keep = in.u[1], o = in.u[2];
    of_state += of_output * o;
    of.u[0] = of_state * (T(1) - keep) * (T(1) - x * x);
    of.u[1] = of_state * (in.before - x) * keep * (T(1) - keep);
    of.u[2] = of_output * after * o * (T(1) - o);
    of_state *= keep;
  }
};

// Inputs and gates: recurrence gate, input gate and, unless it is x, the candidate; weight: logarithm of the
// decay with an open gate.
template <class T, bool projected> struct AnyRGLRU {
  static constexpr int inputs = projected ? 3 : 2, weights = 1;
  static constexpr bool has_output = false, reads_x = !projected;

  struct Gates {
    Vec<T> r, i, x, a, norm;
  };

  static Gates gates(const In<T>& in) {
    Gates g;
    g.r = in.u[0];
    g.i = in.u[1];
    g.x = projected ? in.u[2] : in.x;
    const Vec<T> log_a = in.weights[0] * g.r, t = tangent(log_a);
    g.a = exponential(log_a);
    g.norm = -T(2) * t / (T(1) - t);  // 1 - a^2, accurate also where a is near 1
    for (int k = 0; k < width<T>; k++) g.norm[k] = std::sqrt(g.norm[k]);
    return g;
  }

  static Vec<T> forward(In<T>& in, Vec<T>&) {
    in.u[0] = sigmoid<T>(in.u[0]);
    in.u[1] = sigmoid<T>(in.u[1]);
    const Gates g = gates(in);
    return g.a * in.before + g.norm * g.i * g.x;
  }

  static void backward(const In<T>& in, Vec<T>, Vec<T>, Vec<T>& of_state, In<T>& of) {
    const Gates g = gates(in);
    const Vec<T> least = Vec<T>{} + T(1e-3);  // the slope of the root is infinite where nothing decays
    const Vec<T> of_product = of_state * g.norm;
    const Vec<T> of_norm = of_state * g.i * g.x * g.a / (g.norm < least ? least : g.norm);
    const Vec<T> of_log_a = (of_state * in.before - of_norm) * g.a;
    of.u[0] = of_log_a * in.weights[0] * g.r * (T(1) - g.r);
    of.u[1] = of_product * g.x * g.i * (T(1) - g.i);
    (projected ? of.u[2] : of.x) = of_product * g.i;
    of.weights[0] = of_log_a * g.r;
    of_state *= g.a;
  }
};

template <class T> using RGLRU = AnyRGLRU<T, false>;
template <class T> using ProjectedRGLRU = AnyRGLRU<T, true>;

}  // namespace rnn_lab

SCAN(min_gru, MinGRU)
SCAN(min_lstm, MinLSTM)
SCAN(qrnn, QRNN)
SCAN(rg_lru, RGLRU)
SCAN(projected_rg_lru, ProjectedRGLRU)

// All steps of a recurrent layer with layer norm of its projected input and its projected state, and
// their gradient.
//
// Ba et al. (2016), https://arxiv.org/abs/1607.06450.
//
// Of each step only both products and the states are stored. Statistics and gates are computed again in
// the backward pass, which costs less than it costs to write and read them.
//
// A cell has these members; pointers are to the first unit of one sequence.
//
//   gates, states    number of gates, and of states, of which the first is the output
//   own              number of further parameters of each unit
//   forward(x, h, now)
//                    one step: `x` and `h` are the normed products, `now` the states, which are replaced
//   backward(x, h, before, after, grads, sums, scratch, of_state)
//                    its gradient: `grads` are those of the states after the step and become those of the
//                    states before it, without the part through the recurrent weights; the products are
//                    replaced by their gradients, of which that of `h` is copied to `of_state`; `sums` are
//                    gradients of the parameters, to which is added; `scratch` has (gates + 2) * units values
#pragma once

#include "recurrence.h"

namespace rnn_lab {

constexpr double epsilon = 1e-5;  // of torch's layer norm

// Average `at(gate, j, count)`, vectors of some values, over the units of each gate or of all gates.
template <class T, int gates, int values, class At>
inline void average(int64_t units, bool together, At at, T (*result)[gates]) {
  Vec<T> sums[values][gates];
  for (int gate = 0; gate < gates; gate++) {
    Vec<T> sum[values] = {};
    each_vector<T>(units, [&](int64_t j, auto count) {
      Vec<T> x[values];
      at(gate, j, count, x);
      for (int v = 0; v < values; v++) sum[v] += first_lanes<T>(x[v], count);
    });
    for (int v = 0; v < values; v++) sums[v][gate] = sum[v];
  }
  for (int v = 0; v < values; v++) {
    if (together) {
      for (int gate = 1; gate < gates; gate++) sums[v][0] += sums[v][gate];
      std::fill_n(result[v], gates, sum_of_lanes<T>((const T*)&sums[v][0]) / T(gates * units));
    } else {
      for (int gate = 0; gate < gates; gate++) result[v][gate] = sum_of_lanes<T>((const T*)&sums[v][gate]) / T(units);
    }
  }
}

// Layer norm of the values of some gates, in one step of one sequence.
template <class T, int gates> struct Norm {
  T* values;  // (gates, units)
  const T *gain, *bias;
  int64_t units;
  bool together;  // whether all gates have one mean and one standard deviation
  T mean[1][gates], scale[1][gates];

  Norm(T* values, const T* gain, const T* bias, int64_t units, bool together)
      : values(values), gain(gain), bias(bias), units(units), together(together) {
    measure();
  }

  Vec<T> read(const T* from, int gate, int64_t j, int64_t count) const { return load(from + gate * units + j, count); }
  Vec<T> standard(int gate, int64_t j, int64_t count) const {
    return (read(values, gate, j, count) - mean[0][gate]) * scale[0][gate];
  }
  Vec<T> operator()(int gate, int64_t j, int64_t count) const {
    return standard(gate, j, count) * read(gain, gate, j, count) + read(bias, gate, j, count);
  }

  __attribute__((noinline)) void measure() {
    average<T, gates, 1>(
        units, together, [&](int gate, int64_t j, auto count, Vec<T>* x) { *x = read(values, gate, j, count); }, mean);
    const auto square = [&](int gate, int64_t j, auto count, Vec<T>* x) {
      const Vec<T> distance = read(values, gate, j, count) - mean[0][gate];
      *x = distance * distance;
    };
    average<T, gates, 1>(units, together, square, scale);
    for (T& x : scale[0]) x = T(1) / std::sqrt(x + T(epsilon));
  }

  // Averages from which `input_grad` follows: of the gradient of the standardized values, and of its
  // product with them.
  typedef T Averages[2][gates];

  // Compute them from `grads`, the gradient of the normed values, (gates, units).
  __attribute__((noinline)) void average_grads(const T* grads, Averages& result) const {
    const auto at = [&](int gate, int64_t j, auto count, Vec<T>* x) {
      x[0] = read(grads, gate, j, count) * read(gain, gate, j, count);
      x[1] = x[0] * standard(gate, j, count);
    };
    average<T, gates, 2>(units, together, at, result);
  }

  Vec<T> input_grad(const Averages& averages, Vec<T> grad, int gate, int64_t j, int64_t count) const {
    const Vec<T> x = grad * read(gain, gate, j, count) - averages[0][gate];
    return (x - standard(gate, j, count) * averages[1][gate]) * scale[0][gate];
  }

  // Replace the values by their gradient, of which `copy` gets a copy, and add to `of_gain` and `of_bias`.
  __attribute__((noinline)) void backward(const T* grads, T* of_gain, T* of_bias, T* copy) {
    Averages averages;
    average_grads(grads, averages);
    for (int gate = 0; gate < gates; gate++)
      each_vector<T>(units, [&](int64_t j, auto count) {
        const int64_t at = gate * units + j;
        const Vec<T> grad = load(grads + at, count), result = input_grad(averages, grad, gate, j, count);
        store<T>(of_gain + at, load(of_gain + at, count) + grad * standard(gate, j, count), count);
        store<T>(of_bias + at, load(of_bias + at, count) + grad, count);
        store<T>(values + at, result, count);
        if (copy) store<T>(copy + at, result, count);
      });
  }
};

// Norms of a cell; `layer.parameters` are gain and bias of the projected input, of the projected state,
// and what the cell has besides.
template <class T, int gates> struct Norms {
  const T* parameters;
  int64_t units;
  bool together;

  Norm<T, gates> of_input(T* values) const {
    return {values, parameters, parameters + gates * units, units, together};
  }
  Norm<T, gates> of_state(T* values) const {
    return {values, parameters + 2 * gates * units, parameters + 3 * gates * units, units, together};
  }
};

// Copy the states of a sequence before a step.
template <class T> void copy_states(const T* const* before, int states, int64_t units, T* to) {
  for (int s = 0; s < states; s++) std::copy_n(before[s], units, to + s * units);
}

template <class T, class Cell> void norm_forward(const Batch& batch, const Layer<T>& layer, const Cell& cell) {
  constexpr int gates = Cell::gates, states = Cell::states;
  const int64_t H = layer.units, all = gates * H;
  const Steps steps(batch);
  const auto input_weights = weights_of_inputs<T, gates, 1>(layer.inputs, H);
  const Weights<T, gates, 1> weights(H, H, [&](int64_t row, int64_t k) { return layer.weight[row * H + k]; });
  in_threads(batch, steps, layer.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    int64_t active = rows.size();
    Memory<T> now[states], products(layer.keep ? 0 : active * all);
    Memory<T> buffer(layer.keep ? 0 : std::max(active, rows_at_a_time) * all), before(states * H);
    start(batch, layer, rows, states, now);
    Projection<T, gates, 1> projection(batch, layer.inputs, input_weights, rows);
    const auto projected = [&](int64_t i, int64_t step, int64_t index) {
      return layer.keep ? layer.gates + steps.at(ranks[i], step) * all : &buffer[index * all];
    };
    for (int64_t step = 0; active > 0; step++) {
      projection.reach(step, active, projected);
      const auto product = [&](int64_t i) {
        return layer.keep ? layer.saved + steps.at(ranks[i], step) * all : &products[i * all];
      };
      const auto finish = [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
        T* to = product(i) + j;
        for (int gate = 0; gate < gates; gate++) store<T>(to + gate * H, sums[gate], H - j);
      };
      multiply(weights, now[0].data(), H, active, finish);
      for (int64_t i = 0; i < active; i++) {
        T* state[states];
        for (int s = 0; s < states; s++) state[s] = &now[s][i * H];
        if (layer.zoneout > 0) copy_states(state, states, H, before.data());
        cell.forward(projection.at(i, step), product(i), state);
        for (int s = 0; s < states && layer.zoneout > 0; s++)
          each_vector<T>(H, [&](int64_t j, auto count) {
            const Vec<T> share = layer.share(s, rows[i], step, j, count), old = load(&before[s * H + j], count);
            store<T>(state[s] + j, mix<T>(share, old, load(state[s] + j, count)), count);
          });
        for (int s = 0; s < states; s++)
          if (layer.states[s]) std::copy_n(state[s], H, layer.states[s] + batch.position(rows[i], step) * H);
      }
      active = end(batch, layer, rows, states, step, active, [&](int s, int64_t i) { return &now[s][i * H]; });
    }
  });
}

template <class T, class Cell> void norm_backward(const Batch& batch, const Layer<T>& layer, const Cell& cell) {
  constexpr int gates = Cell::gates, states = Cell::states;
  const int64_t H = layer.units, all = gates * H, parameters = (4 * gates + Cell::own) * H;
  const Steps steps(batch);
  const Weights<T, 1, 4> weights(H, all, [&](int64_t j, int64_t k) { return layer.weight[k * H + j]; });
  const Weights<T, 1, 4> input_weights = transposed_weights_of_inputs(layer.inputs, all);
  Memory<T> sums(batch.batch * parameters);  // of each sequence, so that threads change no result
  in_threads(batch, steps, layer.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    const int64_t count = rows.size();
    Memory<T> carried[states], of_state(count * all), scratch((gates + 2) * H), restored(states * H), kept(states * H);
    for (auto& part : carried) part.resize(count * H);
    InputGradient<T> of_x(batch, layer.inputs, input_weights, rows);
    int64_t active = 0;
    for (int64_t step = batch.length(rows[0]) - 1; step >= 0; step--) {
      active = start_backward(batch, layer, rows, states, step, active, carried);
      for (int64_t i = 0; i < active; i++) {
        const int64_t at = steps.at(ranks[i], step) * all;
        const T *before[states], *after[states];
        T* grads[states];
        for (int s = 0; s < states; s++) {
          before[s] = layer.before(batch, s, rows[i], step);
          after[s] = layer.states[s] + batch.position(rows[i], step) * H;
          grads[s] = &carried[s][i * H];
          if (const T* given = layer.grad(batch, s, rows[i], step))
            each_vector<T>(H, [&](int64_t j, auto count) {
              store<T>(grads[s] + j, load(grads[s] + j, count) + load(given + j, count), count);
            });
        }
        if (layer.zoneout > 0) {
          T* states_again[states];
          copy_states(before, states, H, restored.data());
          for (int s = 0; s < states; s++) after[s] = states_again[s] = &restored[s * H];
          cell.forward(layer.gates + at, layer.saved + at, states_again);
          for (int s = 0; s < states; s++)
            each_vector<T>(H, [&](int64_t j, auto count) {
              const Vec<T> grad = load(grads[s] + j, count);
              const Vec<T> through = layer.share(s, rows[i], step, j, count) * grad;
              store<T>(&kept[s * H + j], through, count);
              store<T>(grads[s] + j, grad - through, count);
            });
        }
        cell.backward(layer.gates + at, layer.saved + at, before, after, grads, &sums[rows[i] * parameters],
                      scratch.data(), &of_state[i * all]);
        for (int s = 0; s < states && layer.zoneout > 0; s++)
          each_vector<T>(H, [&](int64_t j, auto count) {
            store<T>(grads[s] + j, load(grads[s] + j, count) + load(&kept[s * H + j], count), count);
          });
        of_x.add(rows[i], step, layer.gates + at);
      }
      const auto finish = [&](int64_t i, int64_t j, Vec<T>* products) __attribute__((always_inline)) {
        T* to = &carried[0][i * H + j];
        store<T>(to, load(to, H - j) + products[0], H - j);
      };
      multiply(weights, of_state.data(), all, active, finish);
      of_x.finish(step == 0);
    }
    for (int s = 0; s < states; s++)
      for (int64_t i = 0; i < count; i++) std::copy_n(&carried[s][i * H], H, layer.grad_first[s] + rows[i] * H);
  });
  std::fill_n(layer.grad_parameters, parameters, T(0));
  for (int64_t row = 0; row < batch.batch; row++)
    for (int64_t j = 0; j < parameters; j++) layer.grad_parameters[j] += sums[row * parameters + j];
}

}  // namespace rnn_lab

// The functions that Python calls; `together` tells whether all gates have one mean and deviation.
#define NORM_FUNCTIONS(name, Cell, together, T, dtype)                                                             \
  extern "C" void rnn_lab_##name##_forward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) {  \
    rnn_lab::norm_forward(*batch, *layer, rnn_lab::Cell<T>(*layer, together));                                     \
  }                                                                                                                \
  extern "C" void rnn_lab_##name##_backward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer) { \
    rnn_lab::norm_backward(*batch, *layer, rnn_lab::Cell<T>(*layer, together));                                    \
  }
#define NORM_CELL(name, Cell)                           \
  NORM_FUNCTIONS(name##_all, Cell, true, float, float32)   \
  NORM_FUNCTIONS(name##_all, Cell, true, double, float64)  \
  NORM_FUNCTIONS(name##_gate, Cell, false, float, float32) \
  NORM_FUNCTIONS(name##_gate, Cell, false, double, float64)

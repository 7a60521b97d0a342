// All steps of a layer whose units do not see each other's states, and their gradient.
//
// A cell has these members; all vectors hold some units of one sequence.
//
//   inputs, weights  numbers of projected inputs and of weights of a unit
//   has_output       whether the output differs from the state
//   reads_x          whether the unit also reads a value of its own of the layer's input
//   forward(in, output)
//                    return the new state, and set the output where it differs; the projected inputs
//                    may become gates, which the backward pass reads instead
//   backward(in, after, of_output, of_state, of_in)
//                    `of_state` is the gradient of the state after the step and becomes that of the
//                    state before it; `of_in` are those of inputs, x and weights. Without an output
//                    of its own, its gradient is in `of_state` already.
#pragma once

#include "projection.h"

namespace rnn_lab {

constexpr int most_inputs = 4, most_weights = 2;

// What one step of some units reads, or the gradients of that.
template <class T> struct In {
  Vec<T> u[most_inputs], x, weights[most_weights], before;
  T factor;
};

// What Python passes. Tensors of (steps) are in the order of `Steps`, those of (time, batch) in that of
// `Batch::position`.
template <class T> struct Scan {
  int64_t units, threads;
  double factor;         // a constant of the cell
  const T* weights;      // (weights, units)
  const T* first_step;   // added to the projected input of the first step, (batch, inputs * units); null: zero
  const T* first;        // state before the first step, (batch, units)
  T* gates;              // (steps, inputs * units): of the cells, or gradients of the projected input; null: not needed
  T* states;             // after all steps, (time, batch, units); null: not needed
  T* output;             // likewise; null: the states
  T* last;               // state after the last step of each sequence
  const T* grad_last;    // of `last`; null: zero
  T* of_weights;         // of each sequence, (batch, weights, units)
  T* of_first_step;
  T* of_first;
  Sequences<const T> grads;  // of the output; null: zero
  Inputs<T> inputs;
};

// Steps between a prefetch and a read, which the CPU does not foresee.
constexpr int64_t distance = 2;

// Vectors of units in a panel of weights, so that a panel with those of all inputs fills the registers.
template <class Cell> constexpr int panel_vectors = Cell::inputs > 2 ? 1 : 4 / Cell::inputs;

// Read what some units need besides their gates or projected inputs.
template <class T, class Cell> inline void read(const Scan<T>& scan, const T* x, int64_t j, int64_t count, In<T>& in) {
  for (int k = 0; k < Cell::weights; k++) in.weights[k] = load(scan.weights + k * scan.units + j, count);
  if (Cell::reads_x) in.x = load(x + j, count);
  in.factor = T(scan.factor);
}

// Where a step of a sequence is.
template <class T> struct Place {
  int64_t position;
  const T *x, *first_step;
  T *state, *gates;
};

template <class T, class Cell> void scan_forward(const Batch& batch, const Scan<T>& scan) {
  const int64_t H = scan.units, size = Cell::inputs * H;
  T* const shown = Cell::has_output ? scan.output : scan.states;
  const Steps steps(batch);
  const auto weights = weights_of_inputs<T, Cell::inputs, panel_vectors<Cell>>(scan.inputs, H);
  in_threads(batch, steps, scan.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    const int64_t count = rows.size();
    Memory<T> now(count * H);
    Projection<T, Cell::inputs, panel_vectors<Cell>> projection(batch, scan.inputs, weights, rows);
    for (int64_t i = 0; i < count; i++) {
      std::copy_n(scan.first + rows[i] * H, H, &now[i * H]);
      for (int64_t t = batch.length(rows[i]); t < batch.time; t++)
        std::fill_n(shown + (t * batch.batch + rows[i]) * H, H, T(0));
    }
    std::vector<Place<T>> places;
    const auto add = [&](int64_t i, int64_t step) {
      const int64_t row = rows[i];
      const T* const first_step = step == 0 && scan.first_step ? scan.first_step + row * size : nullptr;
      places.push_back({batch.position(row, step) * H, scan.inputs.x.at(batch.time_of(row, step), row), first_step,
                        &now[i * H], scan.gates ? scan.gates + steps.at(ranks[i], step) * size : nullptr});
    };
    const auto finish = [&](int64_t k, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      const Place<T>& at = places[k];
      const int64_t left = H - j;
      In<T> in;
      Vec<T> output;
      for (int g = 0; g < Cell::inputs; g++) in.u[g] = sums[g];
      for (int g = 0; g < Cell::inputs && at.first_step; g++) in.u[g] += load(at.first_step + g * H + j, left);
      read<T, Cell>(scan, at.x, j, left, in);
      in.before = load(at.state + j, left);
      const Vec<T> after = Cell::forward(in, output);
      store<T>(at.state + j, after, left);
      if (scan.states) store<T>(scan.states + at.position + j, after, left);
      if (Cell::has_output) store<T>(scan.output + at.position + j, output, left);
      for (int g = 0; g < Cell::inputs && at.gates; g++) store<T>(at.gates + g * H + j, in.u[g], left);
    };
    for (int64_t active = count; active > 0; places.clear()) active = projection.project(active, add, finish);
    for (int64_t i = 0; i < count; i++) std::copy_n(&now[i * H], H, scan.last + rows[i] * H);
  });
}

template <class T, class Cell> void scan_backward(const Batch& batch, const Scan<T>& scan) {
  const int64_t H = scan.units, size = Cell::inputs * H;
  const Steps steps(batch);
  const Inputs<T>& inputs = scan.inputs;
  const Weights<T, 1, 4> weights = transposed_weights_of_inputs(inputs, size);
  const Weights<T, 1, 4> previous_weights = transposed_weights_of_inputs(inputs, size, true);
  in_threads(batch, steps, scan.threads, [&](const std::vector<int64_t>& rows, const std::vector<int64_t>& ranks) {
    const int64_t count = rows.size();
    Memory<T> carried(count * H);
    // The gradient through the next step is written before that of the step itself is added.
    InputGradient<T> of_previous(batch, inputs, previous_weights, rows);
    InputGradient<T> of_x(batch, inputs, weights, rows, Cell::reads_x || inputs.windows);
    for (int64_t i = 0; i < count && inputs.windows && inputs.of_x.values; i++)
      std::fill_n(inputs.of_x.at(batch.time_of(rows[i], batch.length(rows[i]) - 1), rows[i]), inputs.features, T(0));
    int64_t active = 0;
    for (int64_t step = batch.length(rows[0]) - 1; step >= 0; step--) {
      for (; active < count && batch.length(rows[active]) == step + 1; active++)
        if (scan.grad_last) std::copy_n(scan.grad_last + rows[active] * H, H, &carried[active * H]);
      const int64_t earlier = std::max<int64_t>(step - distance, 0);
      for (int64_t i = 0; i < active; i++) {
        const int64_t row = rows[i], time = batch.time_of(row, step), position = batch.position(row, step) * H;
        const T* const previous = step ? scan.states + batch.position(row, step - 1) * H : scan.first + row * H;
        const T* const given = scan.grads.values ? scan.grads.at(time, row) : nullptr;
        const T* const next_state = scan.states + batch.position(row, earlier) * H;
        const T* const next_given = given ? scan.grads.at(batch.time_of(row, earlier), row) : next_state;
        const T* const next_gates = scan.gates + steps.at(ranks[i], earlier) * size;
        T *const grad = &carried[i * H], *const gates = scan.gates + steps.at(ranks[i], step) * size;
        T* const of_input = Cell::reads_x && inputs.of_x.values ? inputs.of_x.at(time, row) : nullptr;
        each_vector<T>(H, [&](int64_t j, auto n) __attribute__((always_inline)) {
          In<T> in, of;
          for (int k = 0; k < Cell::inputs; k++) __builtin_prefetch(next_gates + k * H + j);
          __builtin_prefetch(next_state + j);
          __builtin_prefetch(next_given + j);
          for (int k = 0; k < Cell::inputs; k++) in.u[k] = load(gates + k * H + j, n);
          read<T, Cell>(scan, inputs.x.at(time, row), j, n, in);
          in.before = load(previous + j, n);
          const Vec<T> after = load(scan.states + position + j, n);
          Vec<T> of_state = load(grad + j, n), of_output{};
          if (given) of_output = load(given + j, n);
          if (!Cell::has_output) of_state += of_output;
          Cell::backward(in, after, of_output, of_state, of);
          store<T>(grad + j, of_state, n);
          for (int k = 0; k < Cell::inputs; k++) store<T>(gates + k * H + j, of.u[k], n);
          if (of_input) store<T>(of_input + j, of.x, n);
          for (int k = 0; k < Cell::weights; k++) {
            T* sum = scan.of_weights + (row * Cell::weights + k) * H + j;
            store<T>(sum, load(sum, n) + of.weights[k], n);
          }
        });
        if (step == 0 && scan.of_first_step) std::copy_n(gates, size, scan.of_first_step + row * size);
        if (inputs.windows && step) of_previous.add(row, step - 1, gates);
        of_x.add(row, step, gates);
      }
      of_previous.finish(step == 0);
      of_x.finish(step == 0);
    }
    for (int64_t i = 0; i < count; i++) std::copy_n(&carried[i * H], H, scan.of_first + rows[i] * H);
  });
}

}  // namespace rnn_lab

// The functions of a cell that Python calls, `rnn_lab_<name>_forward_<dtype>` and `..._backward_...`.
#define SCAN_FUNCTIONS(name, Cell, T, dtype)                                                                     \
  extern "C" void rnn_lab_##name##_forward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Scan<T>* scan) {  \
    rnn_lab::scan_forward<T, rnn_lab::Cell<T>>(*batch, *scan);                                                   \
  }                                                                                                              \
  extern "C" void rnn_lab_##name##_backward_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Scan<T>* scan) { \
    rnn_lab::scan_backward<T, rnn_lab::Cell<T>>(*batch, *scan);                                                  \
  }
#define SCAN(name, Cell) SCAN_FUNCTIONS(name, Cell, float, float32) SCAN_FUNCTIONS(name, Cell, double, float64)

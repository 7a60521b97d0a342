// All steps of a layer whose units do not see each other's states, and their gradient.
//
// A cell has these members; all vectors hold some units of one sequence.
//
//   inputs, weights  numbers of projected inputs and of weights of a unit
//   has_output       whether the output differs from the state
//   reads_x          whether the unit also reads a value of its own of the layer's input
//   forward(in, output)
//                    return the new state, and set the output where it differs
//   backward(in, after, of_output, of_state, of_in)
//                    `of_state` is the gradient of the state after the step and becomes that of the
//                    state before it; `of_in` are those of inputs, x and weights. Without an output
//                    of its own, its gradient is in `of_state` already.
#pragma once

#include "sequences.h"
#include "simd.h"

namespace rnn_lab {

constexpr int most_inputs = 4, most_weights = 2;

// What one step of some units reads, or the gradients of that.
template <class T> struct In {
  Vec<T> u[most_inputs], x, weights[most_weights], before;
  T factor;
};

// What Python passes. Tensors of (steps) are in the order of `Batch::input`, those of (time, batch) in
// that of `Batch::position`.
template <class T> struct Scan {
  int64_t units, threads;
  double factor;         // a constant of the cell
  const T* weights;      // (weights, units)
  const T* inputs;       // (steps, inputs * units)
  const T* x;            // (steps, units)
  const T* first;        // state before the first step, (batch, units)
  T* states;             // after all steps, (time, batch, units); null: not needed
  T* output;             // likewise; null: the states
  T* last;               // state after the last step of each sequence
  const T* grads;        // of the output; null: zero
  const T* grad_last;    // of `last`; null: zero
  T* of_inputs;
  T* of_x;
  T* of_weights;         // of each sequence, (batch, weights, units)
  T* of_first;
};

// Steps between a prefetch and a read, which the CPU does not foresee.
constexpr int64_t distance = 2;

// Call `work(rows, from, to)` in several threads, each with some sequences or some units.
template <class T, class Work> void in_parts(const Batch& batch, const Scan<T>& scan, Work work) {
  const int64_t blocks = (scan.units + width<T> - 1) / width<T>;
  const int64_t parts = scan.threads <= batch.batch ? 1 : std::min(scan.threads, blocks);
  in_threads(batch, parts > 1 ? 1 : scan.threads, [&](const std::vector<int64_t>& rows) {
    const auto part = [&](int64_t i) {
      work(rows, i * blocks / parts * width<T>, std::min((i + 1) * blocks / parts * width<T>, scan.units));
    };
    in_parallel(parts, part);
  });
}

// Call `step(j, count)` for vectors of units; all but the last have a constant number of units.
template <class T, class Step> inline void for_units(int64_t from, int64_t to, Step step) {
  int64_t j = from;
  for (; j + width<T> <= to; j += width<T>) step(j, int64_t(width<T>));
  if (j < to) step(j, to - j);
}

template <class T, class Cell> inline void prefetch(const Scan<T>& scan, int64_t input, int64_t j) {
  for (int k = 0; k < Cell::inputs; k++) __builtin_prefetch(scan.inputs + (input * Cell::inputs + k) * scan.units + j);
  if (Cell::reads_x) __builtin_prefetch(scan.x + input * scan.units + j);
}

template <class T, class Cell> inline void read(const Scan<T>& scan, int64_t input, int64_t j, int64_t count, In<T>& in) {
  const int64_t H = scan.units;
  for (int k = 0; k < Cell::inputs; k++) in.u[k] = load(scan.inputs + (input * Cell::inputs + k) * H + j, count);
  for (int k = 0; k < Cell::weights; k++) in.weights[k] = load(scan.weights + k * H + j, count);
  if (Cell::reads_x) in.x = load(scan.x + input * H + j, count);
  in.factor = T(scan.factor);
}

template <class T, class Cell> void scan_forward(const Batch& batch, const Scan<T>& scan) {
  const int64_t H = scan.units;
  T* const shown = Cell::has_output ? scan.output : scan.states;
  in_parts(batch, scan, [&](const std::vector<int64_t>& rows, int64_t from, int64_t to) {
    int64_t active = rows.size();
    std::vector<T> now(active * H);
    for (int64_t i = 0; i < active; i++) {
      std::copy(scan.first + rows[i] * H + from, scan.first + rows[i] * H + to, &now[i * H + from]);
      for (int64_t t = batch.length(rows[i]); t < batch.time; t++)
        std::fill_n(shown + batch.position(rows[i], t) * H + from, to - from, T(0));
    }
    for (int64_t step = 0; active > 0; step++) {
      for (int64_t i = 0; i < active; i++) {
        const int64_t input = batch.input(rows[i], step), position = batch.position(rows[i], step) * H;
        const int64_t later = batch.input(rows[i], std::min(step + distance, batch.length(rows[i]) - 1));
        T* const state = &now[i * H];
        for_units<T>(from, to, [&](int64_t j, int64_t count) __attribute__((always_inline)) {
          In<T> in;
          Vec<T> output;
          prefetch<T, Cell>(scan, later, j);
          read<T, Cell>(scan, input, j, count, in);
          in.before = load(state + j, count);
          const Vec<T> after = Cell::forward(in, output);
          store<T>(state + j, after, count);
          if (scan.states) store<T>(scan.states + position + j, after, count);
          if (Cell::has_output) store<T>(scan.output + position + j, output, count);
        });
      }
      for (; active > 0 && batch.length(rows[active - 1]) == step + 1; active--)
        std::copy(&now[(active - 1) * H + from], &now[(active - 1) * H] + to, scan.last + rows[active - 1] * H + from);
    }
  });
}

template <class T, class Cell> void scan_backward(const Batch& batch, const Scan<T>& scan) {
  const int64_t H = scan.units;
  in_parts(batch, scan, [&](const std::vector<int64_t>& rows, int64_t from, int64_t to) {
    const int64_t count = rows.size();
    std::vector<T> carried(count * H);
    int64_t active = 0;
    for (int64_t step = batch.length(rows[0]) - 1; step >= 0; step--) {
      for (; active < count && batch.length(rows[active]) == step + 1; active++)
        if (scan.grad_last) {
          const T* grad = scan.grad_last + rows[active] * H;
          std::copy(grad + from, grad + to, &carried[active * H + from]);
        }
      for (int64_t i = 0; i < active; i++) {
        const int64_t row = rows[i], input = batch.input(row, step), position = batch.position(row, step) * H;
        const T* const previous = step ? scan.states + batch.position(row, step - 1) * H : scan.first + row * H;
        const int64_t earlier = std::max<int64_t>(step - distance, 0), next = batch.position(row, earlier) * H;
        const int64_t next_input = batch.input(row, earlier);
        T* const grad = &carried[i * H];
        for_units<T>(from, to, [&](int64_t j, int64_t n) __attribute__((always_inline)) {
          In<T> in, of;
          prefetch<T, Cell>(scan, next_input, j);
          __builtin_prefetch(scan.states + next + j);
          if (scan.grads) __builtin_prefetch(scan.grads + next + j);
          read<T, Cell>(scan, input, j, n, in);
          in.before = load(previous + j, n);
          const Vec<T> after = load(scan.states + position + j, n);
          Vec<T> of_state = load(grad + j, n), of_output{};
          if (scan.grads) of_output = load(scan.grads + position + j, n);
          if (!Cell::has_output) of_state += of_output;
          Cell::backward(in, after, of_output, of_state, of);
          store<T>(grad + j, of_state, n);
          for (int k = 0; k < Cell::inputs; k++)
            store<T>(scan.of_inputs + (input * Cell::inputs + k) * H + j, of.u[k], n);
          if (Cell::reads_x) store<T>(scan.of_x + input * H + j, of.x, n);
          for (int k = 0; k < Cell::weights; k++) {
            T* sum = scan.of_weights + (row * Cell::weights + k) * H + j;
            store<T>(sum, load(sum, n) + of.weights[k], n);
          }
        });
      }
    }
    for (int64_t i = 0; i < count; i++)
      std::copy(&carried[i * H + from], &carried[i * H] + to, scan.of_first + rows[i] * H + from);
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

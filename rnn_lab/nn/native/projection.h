// Projection of the input of a recurrent layer, and its gradient, for some steps at a time: what one
// product writes is in the cache when the next one reads it.
#pragma once

#include "product.h"
#include "sequences.h"

namespace rnn_lab {

constexpr int64_t rows_at_a_time = 128;  // of a product with the input weights, at least

// What Python passes for it.
template <class T> struct Inputs {
  int64_t features;
  int64_t windows;       // whether a step also reads the features of the one before, zero before the first
  const T* weight;       // (gates * units, columns()): of the step before, if it is read, and of the step itself
  const T* bias;         // (gates * units); null: zero
  Sequences<const T> x;
  Sequences<T> of_x;     // gradient of x; null: not needed

  int64_t columns() const { return windows ? 2 * features : features; }

  void read(const Batch& batch, int64_t row, int64_t step, T* to) const {
    if (windows) {
      if (step)
        std::copy_n(x.at(batch.time_of(row, step - 1), row), features, to);
      else
        std::fill_n(to, features, T(0));
      to += features;
    }
    std::copy_n(x.at(batch.time_of(row, step), row), features, to);
  }
};

// Projected input of some sequences, longest first.
template <class T, int gates, int vectors> struct Projection {
  const Batch& batch;
  const Inputs<T>& inputs;
  const Weights<T, gates, vectors>& weights;
  const std::vector<int64_t>& rows;
  int64_t last = 0;                // steps before this one are projected
  Memory<T> copies;                // of x, so that all are in the cache whatever their distance is
  std::vector<const T*> from;
  std::vector<T*> to;
  std::vector<int64_t> starts;     // of each step from `first` on in `to`
  int64_t first = 0;

  Projection(const Batch& batch, const Inputs<T>& inputs, const Weights<T, gates, vectors>& weights,
             const std::vector<int64_t>& rows)
      : batch(batch), inputs(inputs), weights(weights), rows(rows),
        copies(std::max<int64_t>(rows.size(), rows_at_a_time) * inputs.columns()) {}

  // Project a step of `active` sequences and some after it. First, `add(i, step)` is called for each of them,
  // then `finish(k, j, sums)` for each vector of units, from j on, with the projected input of the k-th.
  // Return the number of sequences that continue.
  template <class Add, class Finish> int64_t project(int64_t active, Add add, Finish finish) {
    from.clear();
    const int64_t columns = inputs.columns(), H = weights.units;
    while (active > 0 && (from.empty() || int64_t(from.size()) + active <= rows_at_a_time)) {
      for (int64_t i = 0; i < active; i++) {
        T* copy = &copies[from.size() * columns];
        inputs.read(batch, rows[i], last, copy);
        from.push_back(copy);
        add(i, last);
      }
      last++;
      while (active > 0 && batch.length(rows[active - 1]) <= last) active--;
    }
    multiply(weights, from.data(), from.size(), [&](int64_t k, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      for (int gate = 0; gate < gates && inputs.bias; gate++) sums[gate] += load(inputs.bias + gate * H + j, H - j);
      finish(k, j, sums);
    });
    return active;
  }

  // The same, unless this is done; `memory(i, step, index)` returns where to write the projected input of a
  // sequence, which has the index among those of the same call.
  template <class At> void reach(int64_t step, int64_t active, At memory) {
    if (step < last) return;
    to.clear();
    starts.clear();
    first = last;
    const int64_t H = weights.units;
    const auto add = [&](int64_t i, int64_t step) {
      if (i == 0) starts.push_back(to.size());
      to.push_back(memory(i, step, int64_t(to.size())));
    };
    project(active, add, [&](int64_t k, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      for (int gate = 0; gate < gates; gate++) store<T>(to[k] + gate * H + j, sums[gate], H - j);
    });
  }

  T* at(int64_t i, int64_t step) const { return to[starts[step - first] + i]; }
};

// Gradient of the input of some sequences, written or, with `adds`, added to what is there.
template <class T> struct InputGradient {
  const Batch& batch;
  const Inputs<T>& inputs;
  const Weights<T, 1, 4>& weights;  // the transposed ones
  const bool adds;
  std::vector<const T*> from;
  std::vector<T*> to;

  InputGradient(const Batch& batch, const Inputs<T>& inputs, const Weights<T, 1, 4>& weights,
                const std::vector<int64_t>& rows, bool adds = false)
      : batch(batch), inputs(inputs), weights(weights), adds(adds) {
    for (int64_t row : rows)
      for (int64_t time = batch.length(row); time < batch.time && inputs.of_x.values; time++)
        std::fill_n(inputs.of_x.at(time, row), inputs.features, T(0));
  }

  // Add a step; `grads` is the gradient of the projected input, which stays in memory.
  void add(int64_t row, int64_t step, const T* grads) {
    if (!inputs.of_x.values) return;
    from.push_back(grads);
    to.push_back(inputs.of_x.at(batch.time_of(row, step), row));
  }

  // Compute the gradients of all steps that were added, if they are many or the last ones.
  void finish(bool last) {
    if (from.empty() || (int64_t(from.size()) < rows_at_a_time && !last)) return;
    const int64_t F = inputs.features;
    multiply(weights, from.data(), from.size(), [&](int64_t i, int64_t j, Vec<T>* sums) __attribute__((always_inline)) {
      store<T>(to[i] + j, adds ? load(to[i] + j, F - j) + sums[0] : sums[0], F - j);
    });
    from.clear();
    to.clear();
  }
};

// The weights for both; `of_previous`: those of the step before, if it is read.
template <class T, int gates, int vectors> Weights<T, gates, vectors> weights_of_inputs(const Inputs<T>& inputs, int64_t units) {
  return {units, inputs.columns(),
          [&](int64_t row, int64_t k) { return inputs.weight[row * inputs.columns() + k]; }};
}
template <class T>
Weights<T, 1, 4> transposed_weights_of_inputs(const Inputs<T>& inputs, int64_t rows, bool of_previous = false) {
  const int64_t first = inputs.windows && !of_previous ? inputs.features : 0;
  return {inputs.of_x.values ? inputs.features : 0, of_previous && !inputs.windows ? 0 : rows,
          [&, first](int64_t j, int64_t k) { return inputs.weight[k * inputs.columns() + first + j]; }};
}

}  // namespace rnn_lab

// Which steps of which sequences a thread processes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "threads.h"

namespace rnn_lab {

// Sequences of a batch, `(time, batch)`. Step `s` of a sequence of `length` steps is at time `s`, or at
// `length - 1 - s` if it is read backwards.
struct Batch {
  int64_t time, batch;
  const int64_t* lengths;  // of each sequence; null: all have `time` steps
  int64_t backwards;

  int64_t length(int64_t row) const { return lengths ? lengths[row] : time; }
  int64_t time_of(int64_t row, int64_t step) const { return backwards ? length(row) - 1 - step : step; }
  int64_t position(int64_t row, int64_t step) const { return time_of(row, step) * batch + row; }
};

// Memory of sequences `(time, batch, features)`, in which a step or a sequence may be any number of values
// behind the one before it.
template <class T> struct Sequences {
  T* values;
  int64_t time_stride, batch_stride;

  T* at(int64_t time, int64_t row) const { return values + time * time_stride + row * batch_stride; }
};

// The real steps of all sequences, ordered by step, and in each step by length, longest sequences first.
struct Steps {
  std::vector<int64_t> order;   // of the sequences, by their lengths
  std::vector<int64_t> starts;  // number of real steps before each step, and in all

  explicit Steps(const Batch& batch) : order(batch.batch), starts(batch.time + 1) {
    std::iota(order.begin(), order.end(), 0);
    if (batch.lengths)
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t a, int64_t b) { return batch.lengths[a] > batch.lengths[b]; });
    int64_t active = batch.batch;
    for (int64_t step = 0; step < batch.time; step++) {
      while (active > 0 && batch.length(order[active - 1]) <= step) active--;
      starts[step + 1] = starts[step] + active;
    }
  }

  // `rank` is the index of the sequence in `order`.
  int64_t at(int64_t rank, int64_t step) const { return starts[step] + rank; }

  // Call `work(index, row, step)` for each.
  template <class Work> void each(Work work) const {
    for (size_t step = 0; step + 1 < starts.size(); step++)
      for (int64_t k = starts[step]; k < starts[step + 1]; k++) work(k, order[k - starts[step]], int64_t(step));
  }
};

// Call `work(rows, ranks)` in several threads, each with some rows of the batch, longest sequences first.
template <class Work> void in_threads(const Batch& batch, const Steps& steps, int64_t threads, Work work) {
  threads = std::max<int64_t>(1, std::min(threads, batch.batch));
  std::vector<std::vector<int64_t>> rows(threads), ranks(threads);
  for (int64_t i = 0; i < batch.batch; i++) {
    rows[i % threads].push_back(steps.order[i]);
    ranks[i % threads].push_back(i);
  }
  in_parallel(threads, [&](int64_t i) { work(rows[i], ranks[i]); });
}

template <class Work> void in_threads(const Batch& batch, int64_t threads, Work work) {
  in_threads(batch, Steps(batch), threads, [&](const std::vector<int64_t>& rows, const auto&) { work(rows); });
}

}  // namespace rnn_lab

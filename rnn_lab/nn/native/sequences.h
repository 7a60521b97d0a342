// Which steps of which sequences a thread processes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "threads.h"

namespace rnn_lab {

// Sequences of a batch, `(time, batch)`. Step `s` of a sequence of `length` steps is at time `s`, or at
// `length - 1 - s` if it is read backwards. Projected inputs may lie one sequence after the other,
// without padding.
struct Batch {
  int64_t time, batch;
  const int64_t* lengths;  // of each sequence; null: all have `time` steps
  const int64_t* offsets;  // of each sequence's projected input; null: time first, with padding
  int64_t backwards;

  int64_t length(int64_t row) const { return lengths ? lengths[row] : time; }
  int64_t position(int64_t row, int64_t step) const {
    return (backwards ? length(row) - 1 - step : step) * batch + row;
  }
  int64_t input(int64_t row, int64_t step) const {
    if (!offsets) return position(row, step);
    return offsets[row] + (backwards ? length(row) - 1 - step : step);
  }
};

// Call `work(rows)` in several threads, each with some rows of the batch, longest sequences first.
template <class Work> void in_threads(const Batch& batch, int64_t threads, Work work) {
  std::vector<int64_t> order(batch.batch);
  std::iota(order.begin(), order.end(), 0);
  if (batch.lengths)
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return batch.lengths[a] > batch.lengths[b]; });
  threads = std::max<int64_t>(1, std::min(threads, batch.batch));
  std::vector<std::vector<int64_t>> rows(threads);
  for (int64_t i = 0; i < batch.batch; i++) rows[i % threads].push_back(order[i]);
  in_parallel(threads, [&](int64_t i) { work(rows[i]); });
}

}  // namespace rnn_lab

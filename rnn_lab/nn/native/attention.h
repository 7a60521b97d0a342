// Attention of single steps over the real steps of a source, and its gradient.
//
// Additive: Bahdanau et al. (2015), https://arxiv.org/abs/1409.0473; by dot products: Luong et al. (2015),
// https://arxiv.org/abs/1508.04025.
#pragma once

#include "product.h"
#include "sequences.h"

namespace rnn_lab {

// What Python passes. Tensors of the source are (batch, time, ...), those of steps (batch, steps, ...).
template <class T> struct Attention {
  int64_t time, steps, size, features;  // source steps, target steps, features of queries, of values
  const int64_t* lengths;               // real steps of each source; null: all
  const T *keys, *values;               // (batch, time, size), (batch, time, features)
  const T *weight, *bias;               // of the query, (size, units), (size); null: the state is the query
  const T* v;                           // of additive scores, (size); null: dot products
  T *queries, *weights, *contexts;      // of all steps: (size), (time), (features)
  const T* of_weights;                  // gradient of `weights`; null: zero
  T *of_queries, *of_scores;            // gradients of queries and of scores
  T* of_contexts;                       // gradient of `contexts`, to which is added
  T *of_keys, *of_values;               // zero before
  T* of_v;                              // of each sequence, (batch, size), zero before

  int64_t length(int64_t row) const { return lengths ? lengths[row] : time; }
};

// Compute `sum over j of a[j] * b[j]`.
template <class T> __attribute__((noinline)) T dot_product(int64_t size, const T* a, const T* b) {
  Vec<T> sum{}, other{};
  int64_t j = 0;
  for (; j + 2 * width<T> <= size; j += 2 * width<T>) {
    sum += load(a + j, width<T>) * load(b + j, width<T>);
    other += load(a + j + width<T>, width<T>) * load(b + j + width<T>, width<T>);
  }
  for (; j < size; j += width<T>) sum += load(a + j, size - j) * load(b + j, size - j);
  sum += other;
  return sum_of_lanes<T>((const T*)&sum);
}

// Compute `sum over j of v[j] * tanh(a[j] + b[j])`.
template <class T> __attribute__((noinline)) T additive_score(int64_t size, const T* a, const T* b, const T* v) {
  Vec<T> sum{};
  each_vector<T>(size, [&](int64_t j, auto count) {
    sum += load(v + j, count) * tangent(load(a + j, count) + load(b + j, count));
  });
  return sum_of_lanes<T>((const T*)&sum);
}

template <class T, int vectors>
inline void weighted_columns(int64_t count, const T* weights, int64_t step, const T* rows, int64_t stride, int64_t left,
                             T* result) {
  Vec<T> sums[vectors] = {};
  for (int64_t i = 0; i < count; i++) {
    const T weight = weights[i * step];
    UNROLL
    for (int v = 0; v < vectors; v++) sums[v] += load(rows + i * stride + v * width<T>, left - v * width<T>) * weight;
  }
  UNROLL
  for (int v = 0; v < vectors; v++) store<T>(result + v * width<T>, sums[v], left - v * width<T>);
}

// Compute `result[j] = sum over i of weights[i * step] * rows[i * stride + j]`.
template <class T>
__attribute__((noinline)) void weighted_sum(int64_t count, const T* weights, int64_t step, const T* rows,
                                            int64_t stride, int64_t size, T* result) {
  constexpr int vectors = 4;
  int64_t j = 0;
  for (; j + vectors * width<T> <= size; j += vectors * width<T>)
    weighted_columns<T, vectors>(count, weights, step, rows + j, stride, vectors * width<T>, result + j);
  for (; j < size; j += width<T>)
    weighted_columns<T, 1>(count, weights, step, rows + j, stride, size - j, result + j);
}

// Replace scores by `exp(score) / sum of exp(scores)`.
template <class T> __attribute__((noinline)) void softmax(int64_t size, T* scores) {
  const T largest = *std::max_element(scores, scores + size);
  Vec<T> sums{};
  each_vector<T>(size, [&](int64_t j, auto count) {
    const Vec<T> x = exponential(load(scores + j, count) - largest);
    sums += first_lanes<T>(x, count);
    store<T>(scores + j, x, count);
  });
  const T inverse = T(1) / sum_of_lanes<T>((const T*)&sums);
  each_vector<T>(size, [&](int64_t j, auto count) { store<T>(scores + j, load(scores + j, count) * inverse, count); });
}

// Compute weights and context of a step of a sequence from its query.
template <class T> void attend(const Attention<T>& a, int64_t row, int64_t step) {
  const int64_t at = row * a.steps + step, count = a.length(row);
  const T *query = a.queries + at * a.size, *keys = a.keys + row * a.time * a.size;
  T* weights = a.weights + at * a.time;
  for (int64_t s = 0; s < count; s++)
    weights[s] = a.v ? additive_score(a.size, keys + s * a.size, query, a.v) : dot_product(a.size, keys + s * a.size, query);
  softmax(count, weights);
  std::fill_n(weights + count, a.time - count, T(0));
  weighted_sum(count, weights, 1, a.values + row * a.time * a.features, a.features, a.features,
               a.contexts + at * a.features);
}

// Gradient of additive scores: that of the query, and sums for keys and v, to which is added.
template <class T>
__attribute__((noinline)) void additive_backward(int64_t count, int64_t size, const T* of_scores, const T* query,
                                                 const T* keys, const T* v, T* of_query, T* of_keys, T* of_v) {
  each_vector<T>(size, [&](int64_t j, auto left) {
    const Vec<T> q = load(query + j, left), factor = load(v + j, left);
    Vec<T> of_q{}, sum = load(of_v + j, left);
    for (int64_t s = 0; s < count; s++) {
      const Vec<T> energy = tangent(load(keys + s * size + j, left) + q);
      const Vec<T> slope = factor * (T(1) - energy * energy) * of_scores[s];
      of_q += slope;
      sum += energy * of_scores[s];
      store<T>(of_keys + s * size + j, load(of_keys + s * size + j, left) + slope, left);
    }
    store<T>(of_query + j, of_q, left);
    store<T>(of_v + j, sum, left);
  });
}

// Compute the gradient of the query of a step of a sequence from that of its context.
template <class T> void attend_backward(const Attention<T>& a, int64_t row, int64_t step) {
  const int64_t at = row * a.steps + step, count = a.length(row), source = row * a.time;
  const T *weights = a.weights + at * a.time, *values = a.values + source * a.features;
  const T *of_context = a.of_contexts + at * a.features, *keys = a.keys + source * a.size;
  T *of_scores = a.of_scores + at * a.time, *of_query = a.of_queries + at * a.size;
  for (int64_t s = 0; s < count; s++) {
    of_scores[s] = dot_product(a.features, of_context, values + s * a.features);
    if (a.of_weights) of_scores[s] += a.of_weights[at * a.time + s];
  }
  const T mean = dot_product(count, weights, of_scores);
  for (int64_t s = 0; s < count; s++) of_scores[s] = weights[s] * (of_scores[s] - mean);
  if (a.v)
    additive_backward(count, a.size, of_scores, a.queries + at * a.size, keys, a.v, of_query,
                      a.of_keys + source * a.size, a.of_v + row * a.size);
  else
    weighted_sum(count, of_scores, 1, keys, a.size, a.size, of_query);
}

// Compute the gradients of keys and values that are products over the steps of a sequence.
template <class T> void source_gradient(const Attention<T>& a, int64_t row) {
  const int64_t start = row * a.steps, source = row * a.time;
  for (int64_t s = 0; s < a.length(row); s++) {
    weighted_sum(a.steps, a.weights + start * a.time + s, a.time, a.of_contexts + start * a.features, a.features,
                 a.features, a.of_values + (source + s) * a.features);
    if (!a.v)
      weighted_sum(a.steps, a.of_scores + start * a.time + s, a.time, a.queries + start * a.size, a.size, a.size,
                   a.of_keys + (source + s) * a.size);
  }
}

}  // namespace rnn_lab

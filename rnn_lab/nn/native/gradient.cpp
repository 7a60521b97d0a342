// Gradients of input and recurrent weights, and of their biases.

#include "gradient.h"

#include "recurrence.h"

namespace rnn_lab {

// `result` (rows, columns) is the sum over all steps of products of `grads`, (steps, rows), of which
// a step is `stride` values, and of the inputs, (steps, columns); `sums` that of `grads`.
template <class T>
void input_gradient(int64_t threads, int64_t rows, int64_t columns, int64_t steps, int64_t stride, const T* grads,
                    const T* inputs, T* result, T* sums) {
  outer_product(
      threads, rows, columns, steps, [=](int64_t k) { return grads + k * stride; },
      [=](int64_t k) { return inputs + k * columns; }, result, sums);
}

// The same with the output before each step as input.
template <class T>
void state_gradient(const Batch& batch, const Layer<T>& layer, int64_t rows, int64_t stride, const T* grads,
                    T* result, T* sums) {
  std::vector<const T*> before;
  int64_t steps = 0;
  for (int64_t row = 0; row < batch.batch; row++) steps += batch.length(row);
  before.resize(steps);
  for (int64_t row = 0; row < batch.batch; row++)
    for (int64_t step = 0; step < batch.length(row); step++)
      before[batch.input(row, step)] = step ? layer.states[0] + batch.position(row, step - 1) * layer.units
                                            : layer.first[0] + row * layer.units;
  outer_product(
      layer.threads, rows, layer.units, steps, [=](int64_t k) { return grads + k * stride; },
      [&](int64_t k) { return before[k]; }, result, sums);
}

}  // namespace rnn_lab

#define GRADIENTS(T, dtype)                                                                                     \
  extern "C" void rnn_lab_input_gradient_##dtype(int64_t threads, int64_t rows, int64_t columns, int64_t steps, \
                                                 int64_t stride, const T* grads, const T* inputs, T* result,    \
                                                 T* sums) {                                                     \
    rnn_lab::input_gradient(threads, rows, columns, steps, stride, grads, inputs, result, sums);                \
  }                                                                                                             \
  extern "C" void rnn_lab_state_gradient_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer,   \
                                                 int64_t rows, int64_t stride, const T* grads, T* result,       \
                                                 T* sums) {                                                     \
    rnn_lab::state_gradient(*batch, *layer, rows, stride, grads, result, sums);                                 \
  }
GRADIENTS(float, float32)
GRADIENTS(double, float64)

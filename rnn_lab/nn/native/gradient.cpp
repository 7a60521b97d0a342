// Gradients of input and recurrent weights, and of their biases.

#include "gradient.h"

#include "recurrence.h"
#include "scan.h"

namespace rnn_lab {

// `result` (rows, columns) is the sum over all steps of products of `grads`, (steps, rows), of which
// a step is `stride` values, and of the inputs, (steps, columns); `sums` that of `grads`.
template <class T>
void input_gradient(int64_t threads, int64_t rows, int64_t columns, int64_t steps, int64_t stride, const T* grads,
                    const T* inputs, T* result, T* sums) {
  std::vector<const T*> each(steps);
  for (int64_t k = 0; k < steps; k++) each[k] = inputs + k * columns;
  outer_products<T>(threads, rows, {{grads, stride, each, columns, columns, result, sums}});
}

// Gradients of some rows of the weights of a layer, and of their biases: `grads` are those of the
// projected input, and `state_grads` those of the projected state.
template <class T>
void weight_gradients(const Batch& batch, const Layer<T>& layer, int64_t rows, const T* grads, int64_t stride,
                      const T* state_grads, int64_t state_stride, T* of_weight, T* of_state_weight, T* of_bias,
                      T* of_state_bias) {
  const Steps steps(batch);
  const int64_t H = layer.units, F = layer.inputs.features;
  std::vector<const T*> inputs(steps.starts.back()), states(inputs.size());
  steps.each([&](int64_t k, int64_t row, int64_t step) {
    inputs[k] = layer.inputs.x.at(batch.time_of(row, step), row);
    states[k] = step ? layer.states[0] + batch.position(row, step - 1) * H : layer.first[0] + row * H;
  });
  outer_products<T>(layer.threads, rows,
                    {{grads, stride, inputs, F, F, of_weight, of_bias},
                     {state_grads, state_stride, states, H, H, of_state_weight, of_state_bias}});
}

// Gradients of the weights of a scan and their biases; its gates are those of the projected input.
template <class T>
void scan_weight_gradients(const Batch& batch, const Scan<T>& scan, int64_t rows, T* of_weight, T* of_bias) {
  const Steps steps(batch);
  const Inputs<T>& inputs = scan.inputs;
  const int64_t F = inputs.features, columns = inputs.columns();
  const std::vector<T> zeros(F);
  std::vector<const T*> now(steps.starts.back()), before(inputs.windows ? now.size() : 0);
  steps.each([&](int64_t k, int64_t row, int64_t step) {
    now[k] = inputs.x.at(batch.time_of(row, step), row);
    if (inputs.windows) before[k] = step ? inputs.x.at(batch.time_of(row, step - 1), row) : zeros.data();
  });
  std::vector<Factors<T>> all{{scan.gates, rows, now, F, columns, of_weight + columns - F, of_bias}};
  if (inputs.windows) all.push_back({scan.gates, rows, before, F, columns, of_weight, nullptr});
  outer_products<T>(scan.threads, rows, all);
}

}  // namespace rnn_lab

#define GRADIENTS(T, dtype)                                                                                     \
  extern "C" void rnn_lab_input_gradient_##dtype(int64_t threads, int64_t rows, int64_t columns, int64_t steps, \
                                                 int64_t stride, const T* grads, const T* inputs, T* result,    \
                                                 T* sums) {                                                     \
    rnn_lab::input_gradient(threads, rows, columns, steps, stride, grads, inputs, result, sums);                \
  }                                                                                                             \
  extern "C" void rnn_lab_weight_gradients_##dtype(                                                             \
      const rnn_lab::Batch* batch, const rnn_lab::Layer<T>* layer, int64_t rows, const T* grads, int64_t stride, \
      const T* state_grads, int64_t state_stride, T* of_weight, T* of_state_weight, T* of_bias, T* of_state_bias) { \
    rnn_lab::weight_gradients(*batch, *layer, rows, grads, stride, state_grads, state_stride, of_weight,        \
                              of_state_weight, of_bias, of_state_bias);                                         \
  }                                                                                                             \
  extern "C" void rnn_lab_scan_weight_gradients_##dtype(const rnn_lab::Batch* batch, const rnn_lab::Scan<T>* scan, \
                                                        int64_t rows, T* of_weight, T* of_bias) {               \
    rnn_lab::scan_weight_gradients(*batch, *scan, rows, of_weight, of_bias);                                    \
  }
GRADIENTS(float, float32)
GRADIENTS(double, float64)

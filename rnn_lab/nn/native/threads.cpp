// Where the threads of the kernels come from.

#include "threads.h"

namespace rnn_lab {

Parallel openmp = nullptr;

}  // namespace rnn_lab

extern "C" void rnn_lab_set_openmp(rnn_lab::Parallel parallel) { rnn_lab::openmp = parallel; }

// Work that several threads share.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace rnn_lab {

// GOMP_parallel of the OpenMP library that PyTorch uses: its threads are running, and would compete with
// others for a while after each operation. Null: threads are started for each call.
typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);
extern Parallel openmp;

// Call `work(i)` for each of some parts. Results must not depend on which thread computes a part.
template <class Work> void in_parallel(int64_t parts, const Work& work) {
  std::atomic<int64_t> next{0};
  const auto loop = [&] {
    for (int64_t i = next++; i < parts; i = next++) work(i);
  };
  if (parts < 2) {
    loop();
  } else if (openmp) {
    const auto call = [](void* pointer) { (*static_cast<decltype(loop)*>(pointer))(); };
    openmp(call, const_cast<void*>(static_cast<const void*>(&loop)), unsigned(parts), 0);
  } else {
    std::vector<std::thread> others;
    for (int64_t i = 1; i < parts; i++) others.emplace_back(loop);
    loop();
    for (auto& thread : others) thread.join();
  }
}

}  // namespace rnn_lab

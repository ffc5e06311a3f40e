// Children for tests of what a fork leaves behind. Knows nothing of tapegrad.
//
// Note [Forks beside allocations]
// The address sanitizer of GCC 12 does not prepare its allocator for a fork: a child made while
// another thread allocates may find a lock of it held for ever, and hang in its first `new`. Tests
// of such forks are left out of that build.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/// Forks a child that runs `body` and ends at once; whether it gave true there. A child that hangs
/// is killed after a while.
template <class Body>
bool in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  for (int wait = 0; wait < 10000; ++wait) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child)
      return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    usleep(2000);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return false;
}

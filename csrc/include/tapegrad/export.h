// TAPEGRAD_API marks what libtapegrad.so exports; everything else is hidden.
// Put it on public classes (exceptions too: a type crosses library borders only when its typeinfo
// is exported) and functions, and on those internals that the extension module calls.
// TAPEGRAD_LOCAL hides a member of an exported class. Knows nothing else.
#pragma once

#if defined(__GNUC__) || defined(__clang__)
#define TAPEGRAD_API __attribute__((visibility("default")))
#define TAPEGRAD_LOCAL __attribute__((visibility("hidden")))
#else
#error "tapegrad needs GCC or Clang"
#endif

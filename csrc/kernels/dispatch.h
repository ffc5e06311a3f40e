// Choice of the instruction-set level at load, and the macro by which a kernel is declared once for
// all levels. Kernels of kernels/isa/*.cpp are compiled per level in namespace
// kernels::TAPEGRAD_ISA; callers see kernels::name.
#pragma once

#if !defined(TAPEGRAD_ISA) && !defined(TAPEGRAD_HAVE_V2) && !defined(TAPEGRAD_HAVE_V3) && \
    !defined(TAPEGRAD_HAVE_V4) && !defined(TAPEGRAD_HAVE_BASE)
#error "the build must say which instruction-set levels it compiles (TAPEGRAD_HAVE_V2, ...)"
#endif

namespace tapegrad::kernels {

/// Index of the level in use: 2, 3, 4 for x86-64-v2 .. v4, 0 elsewhere. Chosen once; TAPEGRAD_ISA
/// overrides it downwards.
int isa_level();
/// "x86-64-v4", ...
const char* isa_name();

/// Picks one of up to four functions by isa_level(); null entries were not built.
template <class Function>
Function select_level(Function base, Function v2, Function v3, Function v4) {
  switch (isa_level()) {
    case 4:
      return v4;
    case 3:
      return v3;
    case 2:
      return v2;
    default:
      return base;
  }
}

}  // namespace tapegrad::kernels

#ifdef TAPEGRAD_HAVE_V2
#define TAPEGRAD_IF_V2(x, y) x
#else
#define TAPEGRAD_IF_V2(x, y) y
#endif
#ifdef TAPEGRAD_HAVE_V3
#define TAPEGRAD_IF_V3(x, y) x
#else
#define TAPEGRAD_IF_V3(x, y) y
#endif
#ifdef TAPEGRAD_HAVE_V4
#define TAPEGRAD_IF_V4(x, y) x
#else
#define TAPEGRAD_IF_V4(x, y) y
#endif
#ifdef TAPEGRAD_HAVE_BASE
#define TAPEGRAD_IF_BASE(x, y) x
#else
#define TAPEGRAD_IF_BASE(x, y) y
#endif

#ifdef TAPEGRAD_ISA
/// Inside an instruction-set object: declares the kernel in this level's namespace.
#define TAPEGRAD_KERNEL(name, Parameters)                     \
  namespace TAPEGRAD_ISA {                                    \
  void name(void* const* data, const Parameters& parameters); \
  }
#else
/// Elsewhere: declares every level's kernel and `name`, the one for this machine.
#define TAPEGRAD_KERNEL(name, Parameters)                                               \
  namespace base {                                                                      \
  void name(void* const* data, const Parameters& parameters);                           \
  }                                                                                     \
  namespace v2 {                                                                        \
  void name(void* const* data, const Parameters& parameters);                           \
  }                                                                                     \
  namespace v3 {                                                                        \
  void name(void* const* data, const Parameters& parameters);                           \
  }                                                                                     \
  namespace v4 {                                                                        \
  void name(void* const* data, const Parameters& parameters);                           \
  }                                                                                     \
  inline void name(void* const* data, const Parameters& parameters) {                   \
    static const auto chosen = select_level<void (*)(void* const*, const Parameters&)>( \
        TAPEGRAD_IF_BASE(&base::name, nullptr), TAPEGRAD_IF_V2(&v2::name, nullptr),     \
        TAPEGRAD_IF_V3(&v3::name, nullptr), TAPEGRAD_IF_V4(&v4::name, nullptr));        \
    chosen(data, parameters);                                                           \
  }
#endif

// The exceptions that tapegrad throws. Each has its typeinfo in the shared library, so that clients
// built with hidden visibility catch by type. Python maps them to classes of the same names.
#pragma once

#include <stdexcept>
#include <string>

#include "tapegrad/export.h"

namespace tapegrad {

/// Base of all errors of the library (Python: RuntimeError).
class TAPEGRAD_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
  ~Error() override;
};

/// Shapes that do not fit (Python: RuntimeError and ValueError).
class TAPEGRAD_API ShapeError : public Error {
 public:
  using Error::Error;
  ~ShapeError() override;
};

/// A dtype that the operation does not take (Python: RuntimeError and TypeError).
class TAPEGRAD_API DTypeError : public Error {
 public:
  using Error::Error;
  ~DTypeError() override;
};

/// Misuse of automatic differentiation (Python: RuntimeError).
class TAPEGRAD_API GradError : public Error {
 public:
  using Error::Error;
  ~GradError() override;
};

/// A dimension, index or class target out of range (Python: IndexError).
class TAPEGRAD_API IndexError : public Error {
 public:
  using Error::Error;
  ~IndexError() override;
};

/// A matrix that a decomposition or solver cannot handle: singular, not positive definite, not
/// finite (Python: RuntimeError).
class TAPEGRAD_API LinAlgError : public Error {
 public:
  using Error::Error;
  ~LinAlgError() override;
};

/// An argument of the right type with an impossible value (Python: ValueError and RuntimeError).
class TAPEGRAD_API ValueError : public Error {
 public:
  using Error::Error;
  ~ValueError() override;
};

/// An argument of the wrong type (Python: TypeError).
class TAPEGRAD_API TypeError : public Error {
 public:
  using Error::Error;
  ~TypeError() override;
};

/// A file that cannot be read or written (Python: OSError and RuntimeError).
class TAPEGRAD_API FileError : public Error {
 public:
  using Error::Error;
  ~FileError() override;
};

/// Something that exists in PyTorch and not here (Python: NotImplementedError).
class TAPEGRAD_API UnsupportedError : public Error {
 public:
  using Error::Error;
  ~UnsupportedError() override;
};

/// The values of a tensor inside a transform were asked for by what cannot be batched.
class TAPEGRAD_API LiftedReadError : public UnsupportedError {
 public:
  using UnsupportedError::UnsupportedError;
  ~LiftedReadError() override;
};

}  // namespace tapegrad

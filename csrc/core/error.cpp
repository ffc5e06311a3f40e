#include "tapegrad/error.h"

namespace tapegrad {

// Out of line: the key functions, which put each typeinfo into this library alone.
Error::~Error() = default;
ShapeError::~ShapeError() = default;
DTypeError::~DTypeError() = default;
GradError::~GradError() = default;
LinAlgError::~LinAlgError() = default;
IndexError::~IndexError() = default;
ValueError::~ValueError() = default;
TypeError::~TypeError() = default;
FileError::~FileError() = default;
UnsupportedError::~UnsupportedError() = default;
LiftedReadError::~LiftedReadError() = default;

}  // namespace tapegrad

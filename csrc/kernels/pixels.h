// Kernels that move the elements of images to other places, of any dtype of 1, 2, 4 or 8 bytes:
// channels into pixels and back, and margins. Knows no tensors.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace tapegrad::kernels {

/// (planes, rows, r, h, w) to (planes, h rows, w r), or with `back` the other way.
struct ShufflePixels {
  int item_size = 4;
  bool back = false;
  int64_t planes = 0, rows = 1, r = 1, h = 1, w = 0;
};

/// (outer, d, h, w) to the same with other sizes. Tables (int32) say where each plane, row and
/// column comes from, -1 for `value`; columns from `middle` on, `count` of them, lie side by side.
struct PadImages {
  int item_size = 4;
  int64_t outer = 0;
  int64_t d_in = 1, h_in = 1, w_in = 1;
  int64_t d_out = 1, h_out = 1, w_out = 1;
  int64_t middle = 0, count = 0;
  uint64_t value = 0;  // its bytes, the lowest first
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
/// out, in.
TAPEGRAD_KERNEL(shuffle_pixels, ShufflePixels)
/// out, in, tables of planes, rows and columns one after the other.
TAPEGRAD_KERNEL(pad_images, PadImages)
}  // namespace tapegrad::kernels

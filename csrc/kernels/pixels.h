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

/// The gradient of a padding: every element adds up the places it went to. Places of each axis of
/// the small images, one after the other: `starts` of size + 1 and the list they point into.
struct GatherPadding {
  bool is_double = false;
  int64_t outer = 0;
  int64_t d_in = 1, h_in = 1, w_in = 1;     // the padded images
  int64_t d_out = 1, h_out = 1, w_out = 1;  // the images themselves
  int64_t middle = 0, count = 0;            // as in PadImages: these columns lie side by side
};

}  // namespace tapegrad::kernels

namespace tapegrad::kernels {
/// out, in.
TAPEGRAD_KERNEL(shuffle_pixels, ShufflePixels)
/// out, in, tables of planes, rows and columns one after the other.
TAPEGRAD_KERNEL(pad_images, PadImages)
/// out, in, tables: starts and places of the planes, starts and places of the rows, and where each
/// padded column comes from.
TAPEGRAD_KERNEL(gather_padding, GatherPadding)
}  // namespace tapegrad::kernels

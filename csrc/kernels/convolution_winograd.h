// 3 x 3 convolutions by products of tiles, where that is faster. Owns the choice and the cut into
// pieces; knows nothing of oneDNN.
#pragma once

#include "kernels/convolution_onednn.h"

namespace tapegrad::kernels {

/// The pass on `data` as convolution.h lists it; false where the shape or the values are not for
/// this: Note [Products of tiles]. The result may then hold anything.
bool convolve_by_winograd(ConvolutionPass pass, void* const* data, const ConvolutionArgs& args);

}  // namespace tapegrad::kernels

#pragma once

#include "encoder/encoder.h"

namespace vitrine::encoder {

/// Operations a second that a product of cached operands reaches in the encoder's precision on its
/// threads: what it would reach if it did nothing else and memory took no time. 0 for an encoder
/// that does not run on the CPU. One sample of about `milliseconds`; the speed of a shared machine
/// changes, so a sample belongs next to what it is compared with.
double measure_matmul_peak(const EncoderInfo& info, double milliseconds);

}  // namespace vitrine::encoder

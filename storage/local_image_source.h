#pragma once

#include <memory>

#include "storage/confined_open.h"
#include "storage/image_source.h"

namespace vitrine::storage {

/// Images in a folder; names are paths relative to it and never lead out of it.
std::unique_ptr<ImageSource> open_local_image_source(const ImageSourceSpec& spec,
                                                     Confinement confinement = best_confinement());

}  // namespace vitrine::storage

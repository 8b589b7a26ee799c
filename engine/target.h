#pragma once

namespace vitrine::engine {

/// What a search looks at.
enum class Target { kImage, kCaption };

}  // namespace vitrine::engine

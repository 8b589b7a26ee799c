#include "tools/garment_look.h"

#include <vector>

namespace vitrine::tools {
namespace {

using Words = std::vector<std::string>;

constexpr float kPi = 3.14159265f;

struct Colour {
  Dye dye;
  bool printed_dark;
};

constexpr std::array<Colour, 12> kColours{{
    {{{6, 6, 9}, {84, 84, 90}}, false},          // black
    {{{158, 160, 164}, {255, 255, 255}}, true},  // white
    {{{52, 53, 55}, {168, 169, 172}}, false},    // grey
    {{{72, 2, 8}, {236, 40, 48}}, false},        // red
    {{{118, 48, 0}, {255, 146, 28}}, false},     // orange
    {{{134, 108, 0}, {255, 234, 52}}, true},     // yellow
    {{{2, 54, 14}, {52, 184, 72}}, false},       // green
    {{{4, 16, 86}, {52, 108, 240}}, false},      // blue
    {{{44, 4, 74}, {152, 62, 214}}, false},      // purple
    {{{158, 62, 102}, {255, 172, 208}}, true},   // pink
    {{{38, 18, 4}, {142, 84, 40}}, false},       // brown
    {{{138, 116, 84}, {238, 218, 182}}, true},   // beige
}};

constexpr Dye kLightPrint{{168, 168, 164}, {252, 252, 248}};
constexpr Dye kDarkPrint{{10, 12, 26}, {66, 72, 104}};

struct Ground {
  Rgb rgb;
  int weight;
};
constexpr std::array<Ground, 5> kGrounds{{
    {{255, 255, 255}, 55},
    {{226, 228, 230}, 15},
    {{214, 226, 240}, 10},
    {{244, 236, 220}, 10},
    {{222, 238, 222}, 10},
}};

}  // namespace

std::span<const Attribute> garments() {
  static const std::array<Words, 10> synonyms{{{"tee", "t-shirt top", "tshirt"},
                                               {"pants", "pair of trousers", "slacks"},
                                               {"sweater", "jumper"},
                                               {"gown", "frock"},
                                               {"jacket", "overcoat"},
                                               {"sandals", "pair of sandals"},
                                               {"blouse", "button-up shirt"},
                                               {"sneakers", "trainer", "sports shoe"},
                                               {"handbag", "purse"},
                                               {"boot", "ankle boots", "boots"}}};
  static const std::array<Attribute, 10> table{{{"t-shirt", synonyms[0]},
                                                {"trousers", synonyms[1]},
                                                {"pullover", synonyms[2]},
                                                {"dress", synonyms[3]},
                                                {"coat", synonyms[4]},
                                                {"sandal", synonyms[5]},
                                                {"shirt", synonyms[6]},
                                                {"sneaker", synonyms[7]},
                                                {"bag", synonyms[8]},
                                                {"ankle boot", synonyms[9]}}};
  return table;
}

std::span<const Attribute> colours() {
  static const std::array<Words, 4> synonyms{{{"gray"}, {"violet"}, {"tan"}, {"crimson"}}};
  static const std::array<Attribute, 12> table{{{"black", {}},
                                                {"white", {}},
                                                {"grey", synonyms[0]},
                                                {"red", synonyms[3]},
                                                {"orange", {}},
                                                {"yellow", {}},
                                                {"green", {}},
                                                {"blue", {}},
                                                {"purple", synonyms[1]},
                                                {"pink", {}},
                                                {"brown", {}},
                                                {"beige", synonyms[2]}}};
  return table;
}

std::span<const Attribute> patterns() {
  static const std::array<Words, 4> synonyms{
      {{"solid", "unpatterned"}, {"stripy"}, {"polka dot", "spotted"}, {"checkered", "plaid"}}};
  static const std::array<Attribute, 4> table{{{"plain", synonyms[0]},
                                               {"striped", synonyms[1]},
                                               {"dotted", synonyms[2]},
                                               {"checked", synonyms[3]}}};
  return table;
}

std::span<const Attribute> grounds() {
  static const std::array<Attribute, 5> table{
      {{"white", {}}, {"light grey", {}}, {"pale blue", {}}, {"cream", {}}, {"pale green", {}}}};
  return table;
}

const Dye& dye(int colour) { return kColours.at(colour).dye; }
const Dye& print_dye(int colour) {
  return kColours.at(colour).printed_dark ? kDarkPrint : kLightPrint;
}
const Rgb& ground_rgb(int ground) { return kGrounds.at(ground).rgb; }

GarmentLook draw_look(Random& random, float patterned) {
  GarmentLook look;
  look.colour = random.below(static_cast<int>(kColours.size()));
  look.pattern = random.chance(patterned) ? 1 + random.below(3) : kPlain;
  int ticket = random.below(100);
  while (ticket >= kGrounds[look.ground].weight) ticket -= kGrounds[look.ground++].weight;
  look.period = random.uniform(3.6f, 5.0f);
  const float turn = random.uniform();
  look.angle = turn < 0.4f ? 0.0f : turn < 0.7f ? kPi / 2 : kPi / 4;
  if (look.pattern == kChecked && turn >= 0.4f && turn < 0.7f) look.angle = 0.0f;
  look.phase_x = random.uniform();
  look.phase_y = random.uniform();
  return look;
}

}  // namespace vitrine::tools

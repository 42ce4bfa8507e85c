#include "apps/train/vision/shapes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace tessera::train {
namespace {

constexpr double kFullTurn = 2 * std::numbers::pi;

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. Unlike the standard
/// library's distributions it gives the same numbers with every compiler.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0xD1342543DE82EF95U + 1) {}

  /// In [low, high).
  double uniform(double low, double high) {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return low + (high - low) * static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

struct Point {
  double x;
  double y;
};

/// Within a regular polygon of circumradius 1.
bool in_polygon(Point p, int corners) {
  const double slice = kFullTurn / corners;
  const double from_middle = std::fmod(std::atan2(p.y, p.x) + kFullTurn, slice) - slice / 2;
  return std::hypot(p.x, p.y) * std::cos(from_middle) <= std::cos(slice / 2);
}

/// Within a star of five points: tips at radius 1, notches at 0.45, straight lines between them.
bool in_star(Point p) {
  constexpr double kNotch = 0.45;
  const double slice = kFullTurn / 5;
  const double angle = std::fabs(std::fmod(std::atan2(p.y, p.x) + kFullTurn, slice) - slice / 2);
  const double radius = std::hypot(p.x, p.y);
  const Point tip{std::cos(slice / 2), std::sin(slice / 2)};
  const Point q{radius * std::cos(angle), radius * std::sin(angle)};
  return (q.x - kNotch) * tip.y - q.y * (tip.x - kNotch) <= 0;
}

bool in_disc(Point p, double radius) {
  return std::hypot(p.x, p.y) <= radius;
}

bool in_cross(Point p) {
  return std::min(std::fabs(p.x), std::fabs(p.y)) <= 0.28 && std::max(std::fabs(p.x), std::fabs(p.y)) <= 0.95;
}

bool in_arrow(Point p) {
  const bool head = p.x >= 0.1 && p.x <= 1.0 && std::fabs(p.y) <= 0.75 * (1.0 - p.x) / 0.9;
  return head || (p.x >= -0.95 && p.x <= 0.1 && std::fabs(p.y) <= 0.25);
}

struct Shape {
  const char* name;
  bool (*holds)(Point p); ///< of a shape of about radius 1
};

constexpr std::array<Shape, 10> kShapes = {{
    {"circle", [](Point p) { return in_disc(p, 0.85); }},
    {"ring", [](Point p) { return in_disc(p, 0.95) && !in_disc(p, 0.6); }},
    {"crescent",
     [](Point p) {
       return in_disc(p, 0.95) && !in_disc({p.x - 0.45, p.y}, 0.75);
     }},
    {"triangle", [](Point p) { return in_polygon(p, 3); }},
    {"square", [](Point p) { return in_polygon(p, 4); }},
    {"pentagon", [](Point p) { return in_polygon(p, 5); }},
    {"hexagon", [](Point p) { return in_polygon(p, 6); }},
    {"star", in_star},
    {"cross", in_cross},
    {"arrow", in_arrow},
}};

using Colour = std::array<double, 3>;

struct Line {
  Point normal;
  double offset; ///< from the picture's corner, pixels
  Colour colour;

  bool holds(Point p) const { return std::fabs(p.x * normal.x + p.y * normal.y - offset) <= 0.6; }
};

/// All that is random of a picture but its noise.
struct Scene {
  double radius; ///< pixels
  Point centre;
  double turn;
  double squeeze; ///< of one axis
  Colour paper;
  Colour shade; ///< what the paper changes by over the picture
  Colour ink;
  std::vector<Line> lines;
};

Colour random_colour(Random& random) {
  return {random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)};
}

Scene random_scene(Random& random, double side) {
  constexpr double kLeastContrast = 110; // of the three channels together: of a picture that a person can still read
  Scene scene{};
  scene.radius = random.uniform(0.2, 0.4) * side;
  scene.centre = {random.uniform(scene.radius, side - scene.radius), random.uniform(scene.radius, side - scene.radius)};
  scene.turn = random.uniform(0, kFullTurn);
  scene.squeeze = random.uniform(0.85, 1.0);
  double contrast = 0;
  while (contrast < kLeastContrast) {
    scene.paper = random_colour(random);
    scene.ink = random_colour(random);
    contrast = 0;
    for (std::size_t c = 0; c < 3; ++c) contrast += std::fabs(scene.paper[c] - scene.ink[c]);
  }
  for (double& shade : scene.shade) shade = random.uniform(-40, 40);
  const auto lines = static_cast<int>(random.uniform(0, 4));
  for (int i = 0; i < lines; ++i) {
    const double angle = random.uniform(0, kFullTurn);
    const Point through{random.uniform(0, side), random.uniform(0, side)};
    const Point normal{std::cos(angle), std::sin(angle)};
    scene.lines.push_back({normal, through.x * normal.x + through.y * normal.y, random_colour(random)});
  }
  return scene;
}

Colour colour_at(const Scene& scene, const Shape& shape, Point p, double side) {
  for (const Line& line : scene.lines) {
    if (line.holds(p)) return line.colour;
  }
  const Point from_centre{(p.x - scene.centre.x) / scene.radius, (p.y - scene.centre.y) / scene.radius};
  const double cosine = std::cos(scene.turn);
  const double sine = std::sin(scene.turn);
  if (shape.holds({from_centre.x * cosine + from_centre.y * sine,
                   (from_centre.y * cosine - from_centre.x * sine) / scene.squeeze}))
    return scene.ink;
  Colour colour = scene.paper;
  for (std::size_t c = 0; c < 3; ++c) colour[c] += scene.shade[c] * (p.x + p.y) / (2 * side);
  return colour;
}

} // namespace

const std::vector<std::string>& shape_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Shape& shape : kShapes) result.emplace_back(shape.name);
    return result;
  }();
  return names;
}

image::Image draw_shape(std::int64_t shape, std::int64_t side, std::uint64_t number) {
  Random random(number * kShapes.size() + static_cast<std::uint64_t>(shape));
  const auto size = static_cast<double>(side);
  const Scene scene = random_scene(random, size);
  const double noise = random.uniform(10, 60);
  image::Image picture{side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(side * side * 3))};
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      Colour mean{}; // of four points of the pixel
      for (int point = 0; point < 4; ++point) {
        const Point p{static_cast<double>(x) + 0.25 + 0.5 * (point % 2),
                      static_cast<double>(y) + 0.25 + 0.5 * static_cast<double>(point / 2)};
        const Colour colour = colour_at(scene, kShapes[static_cast<std::size_t>(shape)], p, size);
        for (std::size_t c = 0; c < 3; ++c) mean[c] += colour[c] / 4;
      }
      for (std::size_t c = 0; c < 3; ++c) {
        const double value = mean[c] + random.uniform(-noise, noise);
        picture.row(y)[3 * x + static_cast<std::int64_t>(c)] =
            static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0) + 0.5);
      }
    }
  }
  return picture;
}

} // namespace tessera::train

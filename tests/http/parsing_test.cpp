#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "base/error.h"
#include "http/access.h"
#include "http/image_text.h"
#include "http/json.h"
#include "http/media_type.h"
#include "http/multipart.h"
#include "http/problem.h"
#include "http/url.h"

namespace vitrine::http {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(ImageText, TakesBase64AndDataUrls) {
  EXPECT_EQ(decode_image_text("Zm9v", "\"image\""), "foo");
  EXPECT_EQ(decode_image_text("data:image/png;base64,Zm9v", "\"image\""), "foo");
  EXPECT_EQ(decode_image_text("DATA:;BASE64,Zm9v", "\"image\""), "foo");
}

TEST(ImageText, NamesTheFieldThatIsWrong) {
  for (const char* text : {"", "data:", "data:image/png,abc", "data:image/png;base64",
                           "data:image/png;base64,", "%%"}) {
    EXPECT_THAT(message_of([&] { decode_image_text(text, "\"image\""); }), HasSubstr("\"image\""))
        << text;
  }
}

TEST(Json, RefusesMalformedText) {
  for (const char* text : {"", "{", "{\"a\":1,}", "nul", "{\"a\":01}", "1e999", "\"\\ud800\"",
                           "[1] 2", "{'a':1}", "// x\n1", "\"\x01\""}) {
    EXPECT_THAT(message_of([&] { parse_json(text); }), HasSubstr("not valid JSON")) << text;
  }
  EXPECT_THAT(message_of([&] { parse_json("\"ab\xff\""); }),
              HasSubstr("not valid UTF-8 at byte 3"));
}

TEST(Json, BoundsTheDepth) {
  EXPECT_NO_THROW(parse_json(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']')));
  EXPECT_THAT(message_of([&] { parse_json(std::string(kMaxJsonDepth + 1, '[')); }),
              HasSubstr("nested more than 32"));
  EXPECT_THAT(message_of([&] { parse_json(std::string(1'000'000, '[')); }), HasSubstr("nested"));
}

TEST(Json, RefusesAKeyThatStandsTwice) {
  EXPECT_THAT(message_of([&] { parse_json(R"({"a":{"b":1,"b":2}})"); }), HasSubstr("\"b\" twice"));
  EXPECT_NO_THROW(parse_json(R"([{"a":1,"b":{"a":1}},{"a":1}])"));
}

TEST(Json, BuildsWhatTheTextSays) {
  const std::string text =
      R"({"a":[[],{},[{"b":[1]},null]],"c":{"d":{"e":-1,"f":0.5},"g":true},"h":"\u00e9","i":false})";
  const nlohmann::json value = parse_json(text);
  EXPECT_EQ(value, nlohmann::json::parse(text));
  EXPECT_EQ(parse_json("18446744073709551615"), 18446744073709551615U);
  EXPECT_EQ(parse_json("\"\""), "");
}

// Time that grows with the square of the objects would be minutes here and hours for a whole body.
TEST(Json, TakesAMillionObjects) {
  constexpr int kObjects = 1'000'000;
  std::string text = R"({"searches":[)";
  for (int i = 0; i < kObjects; ++i) text += "{},";
  text.back() = ']';
  text += '}';
  EXPECT_EQ(parse_json(text)["searches"].size(), kObjects);
}

TEST(Json, TakesAWholeNumberForAnIntegerHoweverItIsWritten) {
  EXPECT_EQ(integer_of(parse_json("10.0")), 10);
  EXPECT_EQ(integer_of(parse_json("-1e3")), -1000);
  EXPECT_EQ(integer_of(parse_json("-0.0")), 0);
  EXPECT_EQ(integer_of(parse_json("9007199254740992.0")), std::int64_t{1} << 53);
  EXPECT_EQ(integer_of(parse_json("9223372036854775807")), INT64_MAX);
  EXPECT_EQ(integer_of(parse_json("-9223372036854775808")), INT64_MIN);
  for (const char* text : {"1.5", "9007199254740994.0", "-1e300", "9223372036854775808", "\"1\"",
                           "true", "null", "[1]"}) {
    EXPECT_FALSE(integer_of(parse_json(text))) << text;
  }
}

TEST(Json, PrintsMalformedUtf8WithoutThrowing) {
  EXPECT_EQ(dump(std::string("a\xff")), "\"a\xEF\xBF\xBD\"");
}

TEST(FieldReader, NamesUnknownFieldsAndThoseItKnows) {
  FieldReader fields({{"limit", 3}, {"limt", 3}}, "the request");
  fields.integer("limit", 1, 10);
  EXPECT_THAT(message_of([&] { fields.finish(); }),
              AllOf(HasSubstr("\"limt\""), HasSubstr("it may have \"limit\"")));
}

TEST(FieldReader, NamesTheFieldOfAWrongType) {
  FieldReader fields(
      {{"a", 1}, {"b", "x"}, {"c", 1.5}, {"d", "1"}, {"e", {"x", 1}}, {"f", 11}, {"g", ~0ULL}},
      "the request");
  const auto says = [](const char* first, const char* second) {
    return AllOf(HasSubstr(first), HasSubstr(second));
  };
  EXPECT_THAT(message_of([&] { fields.string("a"); }), says("\"a\"", "must be a string"));
  EXPECT_THAT(message_of([&] { fields.boolean("b"); }), says("\"b\"", "true or false"));
  EXPECT_THAT(message_of([&] { fields.integer("c", 1, 10); }), says("1.5", "integer from 1 to 10"));
  EXPECT_THAT(message_of([&] { fields.integer("d", 1, 10); }), says("\"d\"", "integer"));
  EXPECT_THAT(message_of([&] { fields.strings("e"); }), says("\"e[1]\"", "must be a string"));
  EXPECT_THAT(message_of([&] { fields.integer("f", 1, 10); }), says("is 11", "from 1 to 10"));
  EXPECT_THAT(message_of([&] { fields.integer("g", 1, 10); }), says("\"g\"", "from 1 to 10"));
  EXPECT_THAT(message_of([] { FieldReader({1}, "the request"); }), HasSubstr("JSON object"));
}

TEST(Multipart, ReadsFieldsAndFiles) {
  const std::string body =
      "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"limit\"\r\n\r\n5\r\n"
      "--b\r\ncontent-disposition: form-data; name=image; filename=\"a \\\"b\\\".png\"\r\n"
      "Content-Type: image/png\r\n\r\n\r\n--bx\r\n--b \r\n"
      "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--b--\r\nepilogue";
  // "--bx" begins with the boundary: not a delimiter, and so a malformed body.
  EXPECT_THAT(message_of([&] { parse_multipart("multipart/form-data; boundary=b", body); }),
              HasSubstr("no line break after the boundary"));

  std::string good = body;
  good.replace(good.find("\r\n--bx"), 6, "\x89PNG--b");
  const auto parts = parse_multipart("multipart/form-data; boundary=\"b\"", good);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].name, "limit");
  EXPECT_EQ(parts[0].content, "5");
  EXPECT_FALSE(parts[0].file_name);
  EXPECT_EQ(parts[1].name, "image");
  EXPECT_EQ(parts[1].file_name, "a \"b\".png");
  EXPECT_EQ(parts[1].content_type, "image/png");
  EXPECT_EQ(parts[1].content, "\x89PNG--b");
  EXPECT_EQ(parts[2].name, "empty");
  EXPECT_EQ(parts[2].content, "");
}

TEST(Multipart, ReadsAPartWithoutContentAndWithoutLineBreak) {
  const auto parts =
      parse_multipart("multipart/form-data; boundary=b",
                      "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n--b--\r\n");
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].content, "");
}

TEST(Multipart, TakesAFileForJsonButOnlyOfItsType) {
  FormPart part{"filter", "blob", "Application/JSON; charset=utf-8", R"({"must":[]})"};
  EXPECT_EQ(form_json(part), parse_json(part.content));
  EXPECT_THAT(message_of([&] { form_text(part); }), HasSubstr("\"filter\" is a file"));
  for (const char* type : {"", "text/plain", "application/json-seq"}) {
    part.content_type = type;
    EXPECT_THAT(message_of([&] { form_json(part); }), HasSubstr("\"filter\" is a file")) << type;
  }
  part.file_name.reset();
  EXPECT_EQ(form_json(part), parse_json(part.content));
  EXPECT_EQ(form_text(part), part.content);
  part.content = "{\xff";
  for (const auto& read : {std::function<void()>([&] { form_json(part); }),
                           std::function<void()>([&] { form_text(part); })}) {
    EXPECT_THAT(message_of(read), HasSubstr("\"filter\" is not valid UTF-8 at byte 1"));
  }
}

TEST(Multipart, RefusesMalformedBodies) {
  const std::string part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1";
  const std::string bodies[] = {
      "",
      "--c--\r\n",
      "--b",
      part,
      part + "\r\n--b",
      part + "\r\n" + part + "\r\n--b--\r\n",
      "--b\r\n\r\n1\r\n--b--\r\n",
      "--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n",
      "--b\r\nContent-Disposition: form-data; name=\"\r\n\r\n1\r\n--b--\r\n",
      "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--b--\r\n",
      "--b\r\nno colon\r\n\r\n1\r\n--b--\r\n",
      "--b\r\n" + std::string(10'000, 'x') + ": 1\r\n\r\n1\r\n--b--\r\n",
      "--b\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n"
      "MQ==\r\n--b--\r\n"};
  for (const std::string& body : bodies) {
    message_of([&] { parse_multipart("multipart/form-data; boundary=b", body); });
  }
  for (const char* type : {"multipart/form-data", "multipart/form-data; boundary=",
                           "multipart/form-data; boundary=\"b", "multipart/form-data; boundary"}) {
    message_of([&] { parse_multipart(type, part + "\r\n--b--\r\n"); });
  }
  std::string many;
  for (std::size_t i = 0; i <= kMaxFormParts; ++i) {
    many += "--b\r\nContent-Disposition: form-data; name=a" + std::to_string(i) + "\r\n\r\n1\r\n";
  }
  EXPECT_THAT(
      message_of([&] { parse_multipart("multipart/form-data; boundary=b", many + "--b--"); }),
      HasSubstr("more than 64 parts"));
}

TEST(Multipart, SurvivesEveryTruncation) {
  const std::string whole =
      "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x\"\r\n\r\n12\r\n--b--\r\n";
  const std::size_t complete = whole.size() - 2;
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string_view body = std::string_view(whole).substr(0, length);
    if (length >= complete) {
      EXPECT_EQ(parse_multipart("multipart/form-data; boundary=b", body).size(), 1U);
    } else {
      EXPECT_THROW(parse_multipart("multipart/form-data; boundary=b", body), Error) << length;
    }
  }
}

TEST(PercentEncoding, RoundTrips) {
  const std::string text = "a b/ü?#%+\"\\";
  EXPECT_EQ(percent_encode(text), "a%20b%2F%C3%BC%3F%23%25%2B%22%5C");
  EXPECT_EQ(percent_decode(percent_encode(text)), text);
  EXPECT_EQ(percent_decode("a+b"), "a+b");
}

TEST(PercentEncoding, RefusesMalformedEscapes) {
  for (const char* text : {"%", "%1", "%zz", "a%2", "%00", "%0a", "%7f", "%ff", "%c0%af"}) {
    message_of([&] { percent_decode(text); });
  }
}

TEST(RequestTarget, IsAPathOrAnAbsoluteUrl) {
  EXPECT_EQ(parse_target("/a/b?c=d").path, "/a/b");
  EXPECT_EQ(parse_target("/a/b?c=d").query, "c=d");
  EXPECT_EQ(parse_target("http://host:80/a?b").path, "/a");
  EXPECT_EQ(parse_target("http://host").path, "/");
  EXPECT_EQ(parse_target("http://host?b").query, "b");
  for (const char* text : {"", "*", "a/b", "ftp://host/a", "host:80", "/a#b"}) {
    message_of([&] { parse_target(text); });
  }
}

TEST(ImageType, IsSniffedForImagesOnly) {
  EXPECT_EQ(sniff_image_type("\xff\xd8\xff\xe0"), "image/jpeg");
  EXPECT_EQ(sniff_image_type(std::string("RIFF\0\0\0\0WEBP", 12)), "image/webp");
  for (const char* bytes :
       {"", "<svg xmlns=\"http://www.w3.org/2000/svg\">", "<html>", "%PDF", "RIFF"}) {
    EXPECT_EQ(sniff_image_type(bytes), "application/octet-stream");
  }
}

TEST(Problem, HidesTheDetailOfA500) {
  const Response response =
      problem_response(std::make_exception_ptr(corruption("/secret/path is damaged")), "id-1");
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(response.body, testing::Not(HasSubstr("secret")));
  EXPECT_THAT(response.body, HasSubstr("\"request_id\":\"id-1\""));
  EXPECT_THAT(response.log_detail, HasSubstr("secret"));
  EXPECT_EQ(problem_response(std::make_exception_ptr(std::bad_alloc()), "x").status, 503);
  EXPECT_EQ(problem_response(std::make_exception_ptr(7), "x").status, 500);
}

TEST(Problem, MapsEveryErrorCode) {
  const std::pair<ErrorCode, int> expected[] = {
      {ErrorCode::kInvalidArgument, 400},   {ErrorCode::kNotFound, 404},
      {ErrorCode::kAlreadyExists, 409},     {ErrorCode::kFailedPrecondition, 409},
      {ErrorCode::kResourceExhausted, 413}, {ErrorCode::kUnavailable, 503},
      {ErrorCode::kDeadlineExceeded, 504},  {ErrorCode::kCorruption, 500},
      {ErrorCode::kUnauthenticated, 401},   {ErrorCode::kPermissionDenied, 403},
      {ErrorCode::kCancelled, 503},         {ErrorCode::kInternal, 500}};
  for (const auto& [code, status] : expected) {
    EXPECT_EQ(problem_response(std::make_exception_ptr(Error(code, "x")), "id").status, status);
  }
}

TEST(Problem, NamesEveryStatusThatIsAnswered) {
  for (const int status : {200, 201, 202, 304, 400, 401, 403, 404, 405, 408,
                           409, 413, 415, 417, 431, 500, 501, 503, 504, 505}) {
    for (const int general : {200, 400, 500}) {
      EXPECT_EQ(reason_phrase(status) == reason_phrase(general), status == general) << status;
    }
  }
  EXPECT_EQ(reason_phrase(201), "Created");
}

class AdminAccess : public testing::Test {
 protected:
  AdminAccess() {
    request.peer_is_loopback = true;
    request.headers = {{"host", "localhost:8080"}};
  }
  ErrorCode refusal(std::string_view token) {
    try {
      require_admin(request, token);
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "admitted";
    return ErrorCode::kInternal;
  }
  Request request;
};

TEST_F(AdminAccess, IsForThisMachineWithoutAToken) {
  EXPECT_NO_THROW(require_admin(request, ""));
  request.peer_is_loopback = false;
  EXPECT_EQ(refusal(""), ErrorCode::kPermissionDenied);
}

TEST_F(AdminAccess, RefusesProxiesForeignPagesAndForeignNames) {
  for (const auto& [name, value] :
       {std::pair("x-forwarded-for", "1.2.3.4"), std::pair("forwarded", "for=1.2.3.4"),
        std::pair("via", "1.1 proxy"), std::pair("x-real-ip", "1.2.3.4"),
        std::pair("x-forwarded-host", "shop.example"), std::pair("x-forwarded-proto", "https"),
        std::pair("origin", "http://evil.example"), std::pair("origin", "null"),
        std::pair("sec-fetch-site", "cross-site")}) {
    request.headers = {{"host", "localhost:8080"}, {name, value}};
    EXPECT_EQ(refusal(""), ErrorCode::kPermissionDenied) << name;
  }
  for (const char* host :
       {"evil.example", "127.evil.example", "localhost.evil.example", "[::1].evil.example", ""}) {
    request.headers = {{"host", host}};
    EXPECT_EQ(refusal(""), ErrorCode::kPermissionDenied) << host;
  }
  for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "LOCALHOST"}) {
    request.headers = {{"host", host}, {"origin", std::string("http://") + host}};
    EXPECT_NO_THROW(require_admin(request, "")) << host;
  }
}

TEST_F(AdminAccess, NeedsTheTokenWhenThereIsOne) {
  EXPECT_EQ(refusal("secret"), ErrorCode::kUnauthenticated);
  for (const char* value :
       {"", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret"}) {
    request.headers = {{"authorization", value}};
    EXPECT_EQ(refusal("secret"), ErrorCode::kUnauthenticated) << value;
  }
  request.peer_is_loopback = false;
  request.headers = {{"authorization", "bearer secret"}};
  EXPECT_NO_THROW(require_admin(request, "secret"));
}

}  // namespace
}  // namespace vitrine::http

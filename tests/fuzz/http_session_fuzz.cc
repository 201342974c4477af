// Any bytes as what a caller sends over a whole connection, HTTP/1.1 or HTTP/2, or as what a
// backend answers: the codecs with an application behind them that answers each request, early,
// late, or not at all. Nothing may break, grow beyond its bounds or lose count.
#include <list>
#include <string>
#include <string_view>

#include "base/check.h"
#include "proxy/http/http1_client.h"
#include "proxy/http/http1_server.h"
#include "proxy/http/http2_client.h"
#include "proxy/http/http2_server.h"

namespace signet::proxy {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Answers when the request is whole; the path says how.
class Application final : public RequestHandler {
 public:
  StreamEvents* OnRequest(ServerStream& stream, RequestHead head, bool end) override {
    CHECK_TRUE(!head.method.empty());
    CHECK_TRUE(head.authority.find('\n') == std::string::npos);
    ++requests;
    if (head.path.starts_with("/early")) {
      Answer(stream, head.method == "HEAD");
      return nullptr;
    }
    calls_.push_back(std::make_unique<Call>(stream, head.method == "HEAD"));
    if (end) calls_.back()->OnEnd({});
    return calls_.back()->live ? calls_.back().get() : nullptr;
  }
  void OnMalformed(HttpFault fault) override { CHECK_TRUE(fault != HttpFault::kNone); }
  void Wake() override {}
  SteadyTime Time() const override { return SteadyTime(std::chrono::hours(1)); }
  std::size_t requests = 0;

 private:
  static void Answer(ServerStream& stream, bool head) {
    ResponseHead response;
    response.status = 200;
    response.body.kind = head ? BodyKind::kNone : BodyKind::kFramed;
    if (head) return stream.SendHead(response, true);
    stream.SendHead(response, false);
    stream.SendData("answer");
    Fields trailers;
    trailers.Add("x-sum", "1");
    stream.SendEnd(trailers);
  }
  struct Call final : StreamEvents {
    Call(ServerStream& s, bool h) : stream(s), head(h) {}
    void OnData(std::string_view data) override {
      CHECK_TRUE(live && !data.empty());
      stream.Consumed(data.size());
    }
    void OnEnd(const Fields&) override {
      CHECK_TRUE(live);
      live = false;
      Answer(stream, head);
    }
    void OnFault(StreamFault) override {
      CHECK_TRUE(live);
      live = false;
    }
    void OnDrained() override { CHECK_TRUE(live); }
    ServerStream& stream;
    bool head;
    bool live = true;
  };
  std::list<std::unique_ptr<Call>> calls_;
};

class Asker final : public ClientHost, public ClientStreamEvents {
 public:
  void Wake() override {}
  void OnStreamOver() override {}
  SteadyTime Time() const override { return SteadyTime(std::chrono::hours(1)); }
  void OnHead(ResponseHead head) override {
    CHECK_TRUE(live && head.status >= 100 && head.status <= 599);
  }
  void OnData(std::string_view data) override {
    CHECK_TRUE(live);
    if (stream != nullptr) stream->Consumed(data.size());
  }
  void OnEnd(const Fields&) override { live = false; }
  void OnFault(StreamFault) override { live = false; }
  void OnDrained() override {}
  ClientStream* stream = nullptr;
  bool live = true;
};

// In two pieces, cut where the input says; what is left over is offered again.
void Feed(Codec& codec, OutputBuffer& out, std::string_view input, std::size_t cut) {
  std::string held;
  for (const std::string_view piece :
       {input.substr(0, cut), input.substr(std::min(cut, input.size()))}) {
    held.append(piece);
    for (int round = 0; round < 64 && codec.wants_input(); ++round) {
      const std::size_t taken = codec.OnInput(held);
      CHECK_TRUE(taken <= held.size());
      held.erase(0, taken);
      codec.Produce();
      CHECK_TRUE(out.size() < 4 * kStreamHighWater + 8 * input.size());
      out.Sent(out.size());
      codec.OnOutput();
      if (taken == 0 || held.empty()) break;
    }
  }
  codec.OnInputEnd();
  codec.Produce();
  codec.OnBroken(StreamFault::kConnection);
}

void Serve(std::string_view input, std::size_t cut, bool http2) {
  const HttpSettings settings;
  Application application;
  OutputBuffer out;
  if (http2) {
    Http2Server server(out, application, settings);
    const std::string bytes = std::string(kPreface) + std::string(input);
    Feed(server, out, bytes, kPreface.size() + cut);
  } else {
    Http1Server server(out, application, settings.message);
    Feed(server, out, input, cut);
  }
}

void Ask(std::string_view input, std::size_t cut, bool http2) {
  const HttpSettings settings;
  Asker asker;
  OutputBuffer out;
  RequestHead request;
  request.method = "GET";
  request.path = "/";
  request.authority = "a";
  std::unique_ptr<ClientCodec> client;
  if (http2)
    client = std::make_unique<Http2Client>(out, asker, settings, true);
  else
    client = std::make_unique<Http1Client>(out, asker, settings.message);
  asker.stream = &client->Open(request, true, asker);
  client->Produce();
  Feed(*client, out, input, cut);
  CHECK_TRUE(!asker.live);
}

}  // namespace
}  // namespace signet::proxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const bool http2 = (data[0] & 1) != 0;
  if ((data[0] & 2) != 0)
    signet::proxy::Ask(input, data[1], http2);
  else
    signet::proxy::Serve(input, data[1], http2);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The hub client against a server on the loopback interface that speaks Hugging Face's protocol and
// misbehaves on demand.
#include "weights/hub.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "weights/http_get.h"
#include "weights/hub_cache.h"
#include "weights/hub_files.h"
#include "weights/testing.h"

namespace banyan::weights {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TempFolder;
namespace fs = std::filesystem;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";

std::string Hex(const EVP_MD* kind, const std::string& data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(data.data(), data.size(), digest, &size, kind, nullptr);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}
std::string Sha256(const std::string& data) { return Hex(EVP_sha256(), data); }
std::string GitHash(const std::string& data) {
  return Hex(EVP_sha1(), fmt::format("blob {}", data.size()) + '\0' + data);
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Request {
  std::string method, target, text;  // text: everything
  bool Has(std::string_view part) const { return text.find(part) != std::string::npos; }
};

std::string Reply(int status, const std::string& headers, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(),
                     headers, body);
}

// One connection at a time; a reply is the bytes to send before the connection is closed.
class Server {
 public:
  explicit Server(std::function<std::string(const Request&)> handler)
      : handler_(std::move(handler)), socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    listen(socket_, 16);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~Server() {
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  std::vector<Request> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  int Count(std::string_view part) {
    int count = 0;
    for (const Request& request : requests()) count += request.Has(part) ? 1 : 0;
    return count;
  }

 private:
  void Serve() {
    while (true) {
      const int client = accept(socket_, nullptr, nullptr);
      if (client < 0) return;
      Request request;
      char chunk[4096];
      while (request.text.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = recv(client, chunk, sizeof(chunk), 0);
        if (got <= 0) break;
        request.text.append(chunk, static_cast<std::size_t>(got));
      }
      const std::size_t first = request.text.find(' ');
      request.method = request.text.substr(0, first);
      request.target =
          request.text.substr(first + 1, request.text.find(' ', first + 1) - first - 1);
      {
        std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      std::string reply = handler_(request);
      if (request.method == "HEAD") reply.resize(reply.find("\r\n\r\n") + 4);
      for (std::size_t sent = 0; sent < reply.size();) {
        const ssize_t n = send(client, reply.data() + sent, reply.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<std::size_t>(n);
      }
      close(client);
    }
  }

  std::function<std::string(const Request&)> handler_;
  int socket_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

// A hub with one repository; large files are redirected to a store, as Hugging Face does.
struct FakeHub {
  std::map<std::string, std::string> files{
      {"config.json", R"({"architectures": ["X"]})"},
      {"tokenizer.json", "{}"},
      {"README.md", "not needed"},
      {"model.safetensors",
       testing::Safetensors(R"({"a":{"dtype":"U8","shape":[90000],"data_offsets":[0,90000]}})",
                            std::string(90000, 'w'))}};
  std::string wrong_hash_for;             // advertises another hash than the content's
  std::atomic<std::size_t> cut_after{0};  // bytes of the store's first reply; 0: whole
  std::atomic<bool> ignores_range{false};

  std::string Handle(const Request& request) {
    if (request.target == std::string("/api/models/org/name/revision/main")) {
      std::string siblings;
      for (const auto& [name, data] : files)
        siblings += fmt::format(R"({}{{"rfilename": "{}"}})", siblings.empty() ? "" : ",", name);
      return Reply(200, "", fmt::format(R"({{"sha": "{}", "siblings": [{}]}})", kCommit, siblings));
    }
    const std::string resolve = fmt::format("/org/name/resolve/{}/", kCommit);
    if (request.target.starts_with(resolve)) {
      const auto found = files.find(request.target.substr(resolve.size()));
      if (found == files.end()) return Reply(404, "X-Error-Code: EntryNotFound\r\n", "");
      const auto& [name, data] = *found;
      if (data.size() < 1000)
        return Reply(200, fmt::format("ETag: \"{}\"\r\n", GitHash(data)), data);
      const std::string hash = name == wrong_hash_for ? std::string(64, 'a') : Sha256(data);
      return Reply(302,
                   fmt::format("Location: http://localhost{}/store/{}\r\nX-Linked-Etag: \"{}\"\r\n"
                               "X-Linked-Size: {}\r\nX-Repo-Commit: {}\r\n",
                               port, name, hash, data.size(), kCommit),
                   "moved");
    }
    if (request.target.starts_with("/store/")) return Store(request);
    return Reply(404, "", "");
  }

  std::string Store(const Request& request) {
    const std::string& data = files.at(request.target.substr(7));
    std::size_t from = 0;
    if (const std::size_t at = request.text.find("Range: bytes="); at != std::string::npos)
      from = std::stoul(request.text.substr(at + 13));
    std::string reply;
    if (from == 0 || ignores_range) {
      reply = Reply(200, "", data);
    } else {
      reply = fmt::format(
          "HTTP/1.1 206 X\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n{}",
          data.size() - from, from, data.size() - 1, data.size(), data.substr(from));
    }
    if (const std::size_t cut = cut_after.exchange(0); cut > 0 && cut < reply.size())
      reply.resize(cut);
    return reply;
  }

  std::string port;
};

class HubTest : public ::testing::Test {
 protected:
  HubTest() : server_([this](const Request& request) { return hub_.Handle(request); }) {
    hub_.port = server_.url().substr(server_.url().rfind(':'));
    options_.cache_dir = cache_.path();
    options_.endpoint = server_.url();
    options_.token = "secret";
    options_.timeout_seconds = 5;
    options_.attempts = 2;
  }
  std::string Error(const std::string& model = "org/name") {
    auto path = ResolveModel(model, options_);
    EXPECT_FALSE(path.ok());
    return path.ok() ? "" : path.status().ToString();
  }
  fs::path Blob(const std::string& name) {
    return fs::path(cache_.path()) / "models--org--name/blobs" / Sha256(hub_.files[name]);
  }

  TempFolder cache_;
  FakeHub hub_;
  Server server_;
  HubOptions options_;
};

TEST_F(HubTest, DownloadsWhatIsNeededOnceInTheCacheLayout) {
  int64_t done = 0, total = 0;
  options_.progress = [&](std::string_view file, int64_t d, int64_t t) {
    if (file == "model.safetensors") done = d, total = t;
  };
  auto path = ResolveModel("org/name", options_);
  ASSERT_TRUE(path.ok()) << path.status();
  const fs::path root = fs::path(cache_.path()) / "models--org--name";
  EXPECT_EQ(*path, root / "snapshots" / kCommit);
  EXPECT_EQ(ReadFile(root / "refs/main"), kCommit);
  EXPECT_TRUE(fs::is_symlink(fs::path(*path) / "model.safetensors"));
  EXPECT_EQ(fs::read_symlink(fs::path(*path) / "config.json"),
            "../../blobs/" + GitHash(hub_.files["config.json"]));
  EXPECT_EQ(ReadFile(fs::path(*path) / "model.safetensors"), hub_.files["model.safetensors"]);
  EXPECT_FALSE(fs::exists(fs::path(*path) / "README.md"));
  EXPECT_EQ(done, total);
  EXPECT_EQ(total, static_cast<int64_t>(hub_.files["model.safetensors"].size()));
  // The token goes to the hub and not to the store.
  for (const Request& request : server_.requests())
    EXPECT_EQ(request.Has("Authorization: Bearer secret"), !request.target.starts_with("/store"));

  const std::size_t before = server_.requests().size();
  options_.offline = true;
  EXPECT_EQ(*ResolveModel("org/name", options_), *path);
  EXPECT_EQ(server_.requests().size(), before);
}

TEST_F(HubTest, ContinuesADownloadThatWasCut) {
  hub_.cut_after = 30000;
  auto path = ResolveModel("org/name", options_);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(ReadFile(fs::path(*path) / "model.safetensors"), hub_.files["model.safetensors"]);
  EXPECT_EQ(server_.Count("Range: bytes="), 2);  // the hub, and the store that it sends us to
}

TEST_F(HubTest, ContinuesWhatAnEarlierProcessLeft) {
  const std::string& data = hub_.files["model.safetensors"];
  fs::create_directories(Blob("model.safetensors").parent_path());
  std::ofstream(Blob("model.safetensors").string() + ".incomplete") << data.substr(0, 50000);
  ASSERT_TRUE(ResolveModel("org/name", options_).ok());
  EXPECT_EQ(server_.Count("Range: bytes=50000-"), 2);  // the hub and the store
  EXPECT_EQ(ReadFile(Blob("model.safetensors")), data);
  EXPECT_FALSE(fs::exists(Blob("model.safetensors").string() + ".incomplete"));
}

TEST_F(HubTest, StartsAgainWhenTheLeftoverIsDamagedOrRangesAreIgnored) {
  for (bool ignores : {false, true}) {
    TempFolder cache;
    options_.cache_dir = cache.path();
    hub_.ignores_range = ignores;
    const fs::path blob = fs::path(cache.path()) / "models--org--name/blobs" /
                          Sha256(hub_.files["model.safetensors"]);
    fs::create_directories(blob.parent_path());
    std::ofstream(blob.string() + ".incomplete") << std::string(50000, 'z');
    auto path = ResolveModel("org/name", options_);
    ASSERT_TRUE(path.ok()) << path.status();
    EXPECT_EQ(ReadFile(blob), hub_.files["model.safetensors"]);
  }
}

TEST_F(HubTest, RefusesAWrongHashAndLeavesNothingBehind) {
  hub_.wrong_hash_for = "model.safetensors";
  EXPECT_THAT(Error(), AllOf(HasSubstr("'model.safetensors' of org/name has the hash"),
                             HasSubstr("expects aaaa")));
  const fs::path root = fs::path(cache_.path()) / "models--org--name";
  EXPECT_FALSE(fs::exists(root / "refs/main"));
  for (const auto& entry : fs::directory_iterator(root / "blobs"))
    EXPECT_LT(fs::file_size(entry), 1000u) << entry.path();
  options_.offline = true;
  EXPECT_THAT(Error(), HasSubstr("HF_HUB_OFFLINE forbids"));
}

TEST_F(HubTest, ReadsShardsThatTheIndexNames) {
  const std::string shard = hub_.files["model.safetensors"];
  hub_.files.erase("model.safetensors");
  hub_.files["model-00001-of-00001.safetensors"] = shard;
  hub_.files["consolidated.safetensors"] = shard + "another form of the same";
  hub_.files["model.safetensors.index.json"] =
      R"({"weight_map": {"a": "model-00001-of-00001.safetensors"}})";
  auto path = ResolveModel("org/name", options_);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(fs::exists(fs::path(*path) / "model-00001-of-00001.safetensors"));
  EXPECT_FALSE(fs::exists(fs::path(*path) / "consolidated.safetensors"));
  // A snapshot that lost a shard is completed.
  fs::remove(fs::path(*path) / "model-00001-of-00001.safetensors");
  ASSERT_TRUE(ResolveModel("org/name", options_).ok());
  EXPECT_TRUE(fs::exists(fs::path(*path) / "model-00001-of-00001.safetensors"));
}

TEST_F(HubTest, PicksAGgufFileByItsMark) {
  hub_.files = {{"m-Q4_K_M.gguf", "GGUF four"},
                {"m-Q8_0-00001-of-00002.gguf", "GGUF eight"},
                {"m-Q8_0-00002-of-00002.gguf", "GGUF eight, second"},
                {"mmproj-m.gguf", "GGUF projector"}};
  EXPECT_THAT(Error(),
              HasSubstr("several GGUF files; add one's mark after a colon: m-Q4_K_M, m-Q8_0"));
  auto path = ResolveModel("org/name:q8_0", options_);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(fs::path(*path).filename(), "m-Q8_0-00001-of-00002.gguf");
  EXPECT_TRUE(fs::exists(fs::path(*path).parent_path() / "m-Q8_0-00002-of-00002.gguf"));
  EXPECT_FALSE(fs::exists(fs::path(*path).parent_path() / "m-Q4_K_M.gguf"));
  EXPECT_THAT(Error("org/name:Q2_K"), HasSubstr("no GGUF file marked 'Q2_K'"));
}

TEST(Hub, EveryRefusalIsOneSentence) {
  struct Case {
    std::string reply, token, problem;
    StatusCode code;
  };
  const std::vector<Case> cases = {
      {Reply(401, "", ""), "", "set HF_TOKEN", StatusCode::kUnauthenticated},
      {Reply(401, "X-Error-Code: GatedRepo\r\n", ""), "", "is gated: accept its terms",
       StatusCode::kPermissionDenied},
      {Reply(403, "X-Error-Code: GatedRepo\r\n", ""), "t", "the token in use has no access",
       StatusCode::kPermissionDenied},
      {Reply(404, "", ""), "", "has no such repository", StatusCode::kNotFound},
      {Reply(503, "", ""), "", "answered 503", StatusCode::kUnavailable},
      {Reply(200, "", "<html>"), "", "not valid JSON", StatusCode::kInvalidArgument},
      {Reply(200, "", "{}"), "", "did not answer with a commit", StatusCode::kUnavailable},
      {Reply(302, "Location: /again\r\n", ""), "", "redirects more than 10 times",
       StatusCode::kUnavailable},
      {"garbage\r\n\r\n", "", "127.0.0.1", StatusCode::kUnavailable},
      {"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n{", "", "127.0.0.1", StatusCode::kUnavailable},
  };
  for (const Case& c : cases) {
    Server server([&](const Request&) { return c.reply; });
    TempFolder cache;
    auto path = ResolveModel(
        "org/name",
        {.cache_dir = cache.path(), .endpoint = server.url(), .token = c.token, .attempts = 1});
    ASSERT_FALSE(path.ok()) << c.problem;
    EXPECT_EQ(path.status().code(), c.code) << path.status();
    EXPECT_THAT(Message(path.status()), HasSubstr(c.problem));
    EXPECT_EQ(Message(path.status()).find('\n'), std::string::npos);
  }
  TempFolder cache;
  auto closed = ResolveModel(
      "org/name", {.cache_dir = cache.path(), .endpoint = "http://127.0.0.1:1", .attempts = 1});
  EXPECT_EQ(Message(closed.status()),
            "org/name is not in " + cache.path() +
                ", and its download failed: 127.0.0.1: Connection refused");
  EXPECT_FALSE(ResolveModel("org/name", {}).ok());
}

TEST(Hub, AServerThatSaysNothingTimesOut) {
  Server server([](const Request&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    return std::string();
  });
  TempFolder cache;
  auto path = ResolveModel(
      "org/name",
      {.cache_dir = cache.path(), .endpoint = server.url(), .timeout_seconds = 1, .attempts = 1});
  EXPECT_EQ(path.status().code(), StatusCode::kDeadlineExceeded) << path.status();
  EXPECT_THAT(Message(path.status()), HasSubstr("did not answer within 1 seconds"));
}

TEST(Hub, LocalPathsComeFirst) {
  TempFolder folder;
  const std::string gguf = folder.Write("m.gguf", "GGUF");
  EXPECT_EQ(*ResolveModel(gguf, {}), gguf);
  EXPECT_EQ(*ResolveModel(folder.path(), {}), gguf);
  folder.Write("README.md", "");
  folder.Write("a.gguf", "GGUF");
  EXPECT_THAT(Message(ResolveModel(folder.path(), {}).status()),
              HasSubstr("name one of its GGUF files: a.gguf, m.gguf"));
  folder.Write("config.json", "{}");
  EXPECT_EQ(*ResolveModel(folder.path(), {}), folder.path());
  EXPECT_THAT(Message(ResolveModel("/no/such/model", {}).status()), HasSubstr("neither a file"));
  EXPECT_THAT(Message(ResolveModel("org/m.gguf", {}).status()), HasSubstr("neither a file"));
}

TEST(Hub, ReadsTheEnvironmentAsHuggingFaceDoes) {
  auto read = [](std::map<std::string, std::string> variables) {
    return ReadHubOptions([variables](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
  };
  EXPECT_EQ(read({{"HOME", "/h"}}).cache_dir, "/h/.cache/huggingface/hub");
  EXPECT_EQ(read({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}).cache_dir, "/x/huggingface/hub");
  EXPECT_EQ(read({{"XDG_CACHE_HOME", "/x"}, {"HF_HOME", "/f"}}).cache_dir, "/f/hub");
  EXPECT_EQ(read({{"HF_HOME", "/f"}, {"HUGGINGFACE_HUB_CACHE", "/g"}}).cache_dir, "/g");
  EXPECT_EQ(read({{"HUGGINGFACE_HUB_CACHE", "/g"}, {"HF_HUB_CACHE", "/c"}}).cache_dir, "/c");
  EXPECT_EQ(read({{"HF_ENDPOINT", "http://mirror/"}}).endpoint, "http://mirror");
  EXPECT_TRUE(read({{"HF_HUB_OFFLINE", "Yes"}}).offline);
  EXPECT_FALSE(read({{"HF_HUB_OFFLINE", "0"}}).offline);
  TempFolder folder;
  folder.Write("token", "from-file\n");
  EXPECT_EQ(read({{"HF_HOME", folder.path()}}).token, "from-file");
  EXPECT_EQ(read({{"HF_HOME", folder.path()}, {"HF_TOKEN", "direct"}}).token, "direct");
  EXPECT_EQ(read({{"HF_HOME", folder.path()}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}}).token, "");
}

TEST(Hub, NamesFromAServerStayInTheirFolder) {
  for (const char* bad : {"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\nb", "a\\b"})
    EXPECT_FALSE(IsSafePath(bad)) << bad;
  for (const char* good : {"config.json", "a/b.c", "..a", "a b"})
    EXPECT_TRUE(IsSafePath(good)) << good;
}

TEST(Hub, GgufMarksAreWholeWords) {
  const std::vector<std::string> names = {"x.Q4_K_M.gguf", "x.Q4_K_S.gguf",
                                          "f16/x-f16-00001-of-00002.gguf",
                                          "f16/x-f16-00002-of-00002.gguf"};
  EXPECT_THAT(*SelectGguf(names, "q4_k_s"), ElementsAre("x.Q4_K_S.gguf"));
  EXPECT_THAT(*SelectGguf(names, "F16"), ElementsAre(names[2], names[3]));
  EXPECT_FALSE(SelectGguf(names, "Q4_K").ok());
}

TEST(Http, ParsesAddresses) {
  const auto url = ParseUrl("https://host.x/a?b#c");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host, "host.x");
  EXPECT_EQ(url->port, "443");
  EXPECT_EQ(url->target, "/a?b");
  EXPECT_EQ(ParseUrl("http://h:81")->port, "81");
  EXPECT_EQ(ParseUrl("http://h:81")->target, "/");
  for (const char* bad : {"ftp://x/", "http://", "http://user@host/", "http://a b/", "x"})
    EXPECT_FALSE(ParseUrl(bad).ok()) << bad;
}

}  // namespace
}  // namespace banyan::weights

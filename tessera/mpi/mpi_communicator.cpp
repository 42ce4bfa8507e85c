#include "tessera/mpi/mpi_communicator.hpp"

#include <mpi.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <thread>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/mpi/watch.hpp"

namespace tessera::mpi {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;
using std::chrono::milliseconds;

// MPI counts in int.
constexpr std::int64_t kLongestMessage = std::int64_t{1} << 30;
// What a rank has sent before it left may still be under way.
constexpr milliseconds kUnderWay{2000};

void require_mpi(int result, std::string_view what) {
  if (result == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(result, text, &length);
  throw base::DeviceError(fmt::format("[mpi] {} must not fail; MPI says: {}", what,
                                      std::string_view(text, static_cast<std::size_t>(length))));
}

/// How a thread waits for another process, which may want the same processor.
class Patience {
 public:
  void wait() {
    ++rounds_;
    if (rounds_ < 100) return base::spin_pause();
    if (rounds_ < 2000) return std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

 private:
  int rounds_ = 0;
};

/// What every part of the job shares.
struct Job {
  MPI_Comm ranks = MPI_COMM_NULL;
  std::optional<Watch> watch;

  /// Until all have ended. Throws when a rank is lost, or `stop` is set.
  void wait(std::vector<MPI_Request>& requests, const std::vector<int>& of_ranks, const std::atomic<bool>& stop) {
    Patience patience;
    for (;;) {
      int done = 0;
      require_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
                  "an exchange");
      if (done != 0) return;
      base::require<base::DeviceError>(!watch->lost(), "{}", watch->reason());
      for (const int rank : of_ranks) {
        base::require<base::DeviceError>(!watch->has_left(rank, kUnderWay),
                                         "[mesh] all ranks must run the same program; rank {} has come to its end",
                                         rank);
      }
      base::require<base::DeviceError>(!stop, "[mesh] an exchange was broken off");
      patience.wait();
    }
  }
};

/// A queue's messages have a tag of their own.
class TaggedChannel : public runtime::Channel {
 public:
  TaggedChannel(std::shared_ptr<Job> job, int tag) : job_(std::move(job)), tag_(tag) {}

  void exchange(const runtime::Messages& messages, const std::atomic<bool>& stop) override {
    requests_.clear();
    of_ranks_.clear();
    for (const runtime::Message& message : messages.receives)
      begin(message, [&](std::byte* data, int count, MPI_Request* request) {
        return MPI_Irecv(data, count, MPI_BYTE, message.rank, tag_, job_->ranks, request);
      });
    for (const runtime::Message& message : messages.sends)
      begin(message, [&](std::byte* data, int count, MPI_Request* request) {
        return MPI_Isend(data, count, MPI_BYTE, message.rank, tag_, job_->ranks, request);
      });
    try {
      job_->wait(requests_, of_ranks_, stop);
    } catch (...) {
      give_up();
      throw;
    }
  }

 private:
  template <typename Start>
  void begin(const runtime::Message& message, const Start& start) {
    of_ranks_.push_back(message.rank);
    for (std::int64_t first = 0; first < message.bytes; first += kLongestMessage) {
      const auto count = static_cast<int>(std::min(kLongestMessage, message.bytes - first));
      require_mpi(start(message.data + first, count, &requests_.emplace_back(MPI_REQUEST_NULL)), "an exchange");
    }
  }
  /// Nothing may be written to memory that will be gone.
  void give_up() {
    for (MPI_Request& request : requests_) {
      if (request == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&request);
      MPI_Request_free(&request);
    }
  }

  std::shared_ptr<Job> job_;
  int tag_;
  std::vector<MPI_Request> requests_; // kept for its memory
  std::vector<int> of_ranks_;
};

std::string text_of(const Facts& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text += name + '\x1f' + value + '\x1e';
  return text;
}

/// "rank 1 has board n300 where rank 0 has t3000"
std::string difference(const std::string& first, const std::string& other, int rank) {
  const auto parse = [](const std::string& text) {
    Facts facts;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t middle = text.find('\x1f', at);
      const std::size_t end = text.find('\x1e', middle);
      facts.emplace_back(text.substr(at, middle - at), text.substr(middle + 1, end - middle - 1));
      at = end + 1;
    }
    return facts;
  };
  std::string result;
  const Facts facts = parse(first);
  for (const auto& [name, value] : parse(other)) {
    const auto same = std::ranges::find(facts, name, &std::pair<std::string, std::string>::first);
    const std::string expected = same == facts.end() ? "none" : same->second;
    if (value != expected)
      result += fmt::format("{}{} {} where rank 0 has {}", result.empty() ? "" : ", ", name, value, expected);
  }
  return fmt::format("rank {} has {}", rank, result.empty() ? "fewer facts" : result);
}

class JobRanks : public MpiCommunicator {
 public:
  explicit JobRanks(std::function<void(const std::string&)> on_lost) {
    int provided = 0;
    require_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided), "its start");
    base::require<base::DeviceError>(provided == MPI_THREAD_MULTIPLE,
                                     "[mpi] an MPI that several threads may call is required; this one gives level {}",
                                     provided);
    require_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &job_->ranks), "a communicator");
    MPI_Comm_set_errhandler(job_->ranks, MPI_ERRORS_RETURN);
    MPI_Comm_rank(job_->ranks, &rank_);
    MPI_Comm_size(job_->ranks, &ranks_);
    MPI_Comm host = MPI_COMM_NULL;
    MPI_Comm_split_type(job_->ranks, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &ranks_of_host_);
    MPI_Comm_rank(host, &place_on_host_);
    MPI_Comm_free(&host);
    const Listener listener;
    job_->watch.emplace(listener, rank_, gather(listener.address()), std::move(on_lost));
  }
  /// Waits for the others, unless one is lost or this one has failed: then the process ends without MPI's consent.
  ~JobRanks() override {
    if (failed_ || job_->watch->lost()) return;
    job_->watch->leave();
    const auto all_have_left = [&] {
      for (int rank = 0; rank < ranks_; ++rank) {
        if (rank != rank_ && !job_->watch->has_left(rank, milliseconds(0))) return false;
      }
      return true;
    };
    for (Patience patience; !all_have_left(); patience.wait()) {
      int flag = 0; // lets MPI go on with what others still receive
      MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, job_->ranks, &flag, MPI_STATUS_IGNORE);
      if (job_->watch->lost()) return;
    }
    MPI_Comm_free(&job_->ranks);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }
  int ranks_of_host() const override { return ranks_of_host_; }
  int place_on_host() const override { return place_on_host_; }

  std::unique_ptr<runtime::Channel> open_channel() override {
    return std::make_unique<TaggedChannel>(job_, next_tag_++);
  }

  void require_same(const Facts& facts) override {
    const std::vector<std::string> all = gather(text_of(facts));
    for (int rank = 1; rank < ranks_; ++rank) {
      const std::string& other = all[static_cast<std::size_t>(rank)];
      base::require(other == all[0],
                    "[mesh] all ranks must be started alike; {}; start all with one command, checkpoint and program",
                    other == all[0] ? "" : difference(all[0], other, rank));
    }
  }

  void fail(std::string_view reason) override {
    failed_ = true;
    job_->watch->fail(reason);
  }

 private:
  /// The texts of all ranks.
  std::vector<std::string> gather(const std::string& own) {
    const int size = static_cast<int>(own.size());
    std::vector<int> sizes(static_cast<std::size_t>(ranks_));
    MPI_Request request = MPI_REQUEST_NULL;
    require_mpi(MPI_Iallgather(&size, 1, MPI_INT, sizes.data(), 1, MPI_INT, job_->ranks, &request), "a gathering");
    wait(request);
    std::vector<int> starts(sizes.size());
    std::exclusive_scan(sizes.begin(), sizes.end(), starts.begin(), 0);
    std::string all(static_cast<std::size_t>(starts.back() + sizes.back()), '\0');
    require_mpi(MPI_Iallgatherv(own.data(), size, MPI_CHAR, all.data(), sizes.data(), starts.data(), MPI_CHAR,
                                job_->ranks, &request),
                "a gathering");
    wait(request);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < sizes.size(); ++i)
      texts.push_back(all.substr(static_cast<std::size_t>(starts[i]), static_cast<std::size_t>(sizes[i])));
    return texts;
  }
  void wait(MPI_Request& request) {
    if (!job_->watch) return require_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "a gathering");
    std::vector<MPI_Request> requests{request};
    job_->wait(requests, {}, false);
  }

  std::shared_ptr<Job> job_ = std::make_shared<Job>();
  int rank_ = 0;
  int ranks_ = 1;
  int ranks_of_host_ = 1;
  int place_on_host_ = 0;
  int next_tag_ = 0;
  bool failed_ = false;
};

} // namespace

std::shared_ptr<MpiCommunicator> MpiCommunicator::open(std::function<void(const std::string&)> on_lost) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  base::require(initialized == 0, "[mpi] one communicator for a process is possible; there was another");
  return std::make_shared<JobRanks>(std::move(on_lost));
}

} // namespace tessera::mpi

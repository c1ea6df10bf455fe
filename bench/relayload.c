/*
 * relayload - load generator for LTTng relay daemons.
 *
 * Plays the part of a consumer daemon: it opens a control and a data
 * connection per session, creates the session, its trace chunk and its
 * streams, then sends CTF packets on the data connection and one index
 * per packet on the control connection, waits until the relay says that
 * nothing is pending any more, and checks the files that were written.
 * It can then read everything back through the live protocol, too.
 *
 * Build:  cc -O2 -Wall -pthread -o relayload relayload.c
 *
 * One line of JSON goes to the standard output; see README.rst.
 * Exit status: 0 all is well, 1 a check failed, 2 usage or I/O error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------ wire */

enum {
	CMD_ADD_STREAM = 1,
	CMD_CREATE_SESSION = 2,
	CMD_VERSION = 5,
	CMD_SEND_METADATA = 6,
	CMD_CLOSE_STREAM = 7,
	CMD_DATA_PENDING = 8,
	CMD_SEND_INDEX = 13,
	CMD_STREAMS_SENT = 16,
	CMD_CREATE_TRACE_CHUNK = 19,
	CMD_CLOSE_TRACE_CHUNK = 20,
};

enum { OK_CODE = 10 };	/* "LTTNG_OK" */

#define PACKED __attribute__((packed))

struct PACKED cmd_hdr {
	uint64_t circuit_id, data_size;
	uint32_t cmd, cmd_version;
};

struct PACKED data_hdr {
	uint64_t circuit_id, stream_id, net_seq_num;
	uint32_t data_size, padding_size;
};

struct PACKED index_cmd {
	struct cmd_hdr h;
	uint64_t relay_stream_id, net_seq_num, packet_size, content_size;
	uint64_t timestamp_begin, timestamp_end, events_discarded, stream_id;
	uint64_t stream_instance_id, packet_seq_num;	/* 2.8 and later */
};

struct PACKED idx_record {
	uint64_t offset, packet_size, content_size, timestamp_begin,
		timestamp_end, events_discarded, stream_id,
		stream_instance_id, packet_seq_num;
};

/* The first bytes of every packet: a real CTF header and context. */
struct PACKED ctf_hdr {
	uint32_t magic;
	uint8_t uuid[16];
	uint32_t stream_id;
	uint64_t stream_instance_id;
	uint64_t timestamp_begin, timestamp_end;
	uint64_t content_size, packet_size;
	uint64_t packet_seq_num, events_discarded;
	uint32_t cpu_id;
};

static const uint8_t trace_uuid[16] = {
	0x2a, 0x64, 0x22, 0xd0, 0x6c, 0xee, 0x11, 0xe0,
	0x8c, 0x08, 0xcb, 0x07, 0xd7, 0xb3, 0xa5, 0x64
};

static const char metadata_text[] =
	"/* CTF 1.8 */\n"
	"typealias integer { size = 8; align = 8; signed = false; } := uint8_t;\n"
	"typealias integer { size = 32; align = 8; signed = false; } := uint32_t;\n"
	"typealias integer { size = 64; align = 8; signed = false; } := uint64_t;\n"
	"trace { major = 1; minor = 8;\n"
	"  uuid = \"2a6422d0-6cee-11e0-8c08-cb07d7b3a564\"; byte_order = le;\n"
	"  packet.header := struct { uint32_t magic; uint8_t uuid[16];\n"
	"    uint32_t stream_id; uint64_t stream_instance_id; };\n"
	"};\n"
	"stream { id = 0;\n"
	"  packet.context := struct { uint64_t timestamp_begin;\n"
	"    uint64_t timestamp_end; uint64_t content_size;\n"
	"    uint64_t packet_size; uint64_t packet_seq_num;\n"
	"    uint64_t events_discarded; uint32_t cpu_id; };\n"
	"  event.header := struct { uint32_t id; };\n"
	"};\n"
	"event { name = \"bench:none\"; id = 0; stream_id = 0;\n"
	"  fields := struct { uint8_t x; }; };\n";

/* --------------------------------------------------------------- options */

#define MAX_PIDS 16
#define MAX_BATCH 128
#define POOL_SHIFT (1u << 16)

static struct {
	const char *host, *cport, *dport, *lport, *output, *label;
	unsigned sessions, streams, window, minor, live, batch, handshakes, idle, viewers;
	uint64_t packet, total;
	double rate;
	bool use_sendfile, no_metadata;
	unsigned viewer_len;
	int npids;
	pid_t pids[MAX_PIDS];
} opt = {
	.host = "127.0.0.1", .cport = "5342", .dport = "5343", .lport = "5344",
	.label = "", .sessions = 1, .streams = 4, .window = 1, .minor = 13,
	.batch = 1, .packet = 512 * 1024, .total = 1024ull << 20,
};

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "relayload: ");
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (errno)
		fprintf(stderr, ": %s", strerror(errno));
	fputc('\n', stderr);
	exit(2);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ------------------------------------------------- what the receiver uses */

static double task_cpu(pid_t pid)
{
	char path[300];
	struct dirent *e;
	unsigned long long ns, sum = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		FILE *f;
		char line[4096];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, e->d_name);
		f = fopen(path, "r");
		if (f) {
			if (fscanf(f, "%llu", &ns) == 1)
				sum += ns;
			fclose(f);
		}
		/* Worker processes count, too. */
		snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, e->d_name);
		f = fopen(path, "r");
		if (f) {
			if (fgets(line, sizeof line, f)) {
				char *save = NULL, *tok;

				for (tok = strtok_r(line, " \n", &save); tok;
						tok = strtok_r(NULL, " \n", &save))
					sum += (unsigned long long) (task_cpu(atoi(tok)) * 1e9);
			}
			fclose(f);
		}
	}
	closedir(d);
	return sum * 1e-9;
}

static double receivers_cpu(void)
{
	double s = 0;

	for (int i = 0; i < opt.npids; i++)
		s += task_cpu(opt.pids[i]);
	return s;
}

/* KEY is VmHWM for the most memory that was ever resident, VmRSS for what is now. */
static long receivers_kib(const char *key)
{
	long sum = 0, v;

	for (int i = 0; i < opt.npids; i++) {
		char path[64], line[256];
		FILE *f;

		snprintf(path, sizeof path, "/proc/%d/status", opt.pids[i]);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof line, f))
			if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), ": %ld", &v) == 1)
				sum += v;
		if (f)
			fclose(f);
	}
	return sum;
}

/* ------------------------------------------------------------------ I/O */

static int dial(const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai, *a;
	int fd = -1, one = 1, e;

	e = getaddrinfo(opt.host, port, &hints, &ai);
	if (e) {
		errno = 0;
		die("%s:%s: %s", opt.host, port, gai_strerror(e));
	}
	for (a = ai; a; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && !connect(fd, a->ai_addr, a->ai_addrlen))
			break;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(ai);
	if (fd < 0)
		die("connect %s:%s", opt.host, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void send_iov(int fd, struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };

	while (m.msg_iovlen) {
		ssize_t w = sendmsg(fd, &m, MSG_NOSIGNAL);

		if (w < 0) {
			if (errno == EINTR)
				continue;
			die("sendmsg");
		}
		while (m.msg_iovlen && (size_t) w >= m.msg_iov->iov_len) {
			w -= m.msg_iov->iov_len;
			m.msg_iov++;
			m.msg_iovlen--;
		}
		if (m.msg_iovlen) {
			m.msg_iov->iov_base = (char *) m.msg_iov->iov_base + w;
			m.msg_iov->iov_len -= w;
		}
	}
}

static void send_all(int fd, const void *p, size_t n, int flags)
{
	while (n) {
		ssize_t w = send(fd, p, n, flags | MSG_NOSIGNAL);

		if (w < 0) {
			if (errno == EINTR)
				continue;
			die("send");
		}
		p = (const char *) p + w;
		n -= w;
	}
}

static void recv_all(int fd, void *p, size_t n)
{
	while (n) {
		ssize_t r = recv(fd, p, n, MSG_WAITALL);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			if (!r)
				errno = 0;
			die(r ? "recv" : "the relay closed the connection");
		}
		p = (char *) p + r;
		n -= r;
	}
}

static void command(int fd, uint32_t cmd, const void *p, size_t n)
{
	struct cmd_hdr h = { .data_size = htobe64(n), .cmd = htobe32(cmd) };
	struct iovec iov[2] = { { &h, sizeof h }, { (void *) p, n } };

	send_iov(fd, iov, n ? 2 : 1);
}

static uint32_t recv_u32(int fd)
{
	uint32_t v;

	recv_all(fd, &v, sizeof v);
	return be32toh(v);
}

static void expect_ok(int fd, const char *what)
{
	uint32_t v = recv_u32(fd);

	if (v != OK_CODE) {
		errno = 0;
		die("%s answered %" PRIu32, what, v);
	}
}

/* A growing message. */
struct msg { uint8_t b[10240]; size_t n; };
static void put(struct msg *m, const void *p, size_t n) { memcpy(m->b + m->n, p, n); m->n += n; }
static void put8(struct msg *m, uint8_t v) { put(m, &v, 1); }
static void put32(struct msg *m, uint32_t v) { v = htobe32(v); put(m, &v, 4); }
static void put64(struct msg *m, uint64_t v) { v = htobe64(v); put(m, &v, 8); }
static void put_fixed(struct msg *m, const char *s, size_t n)
{
	memset(m->b + m->n, 0, n);
	memcpy(m->b + m->n, s, strlen(s));
	m->n += n;
}

/* -------------------------------------------------------------- payloads */

static uint8_t *pool;	/* packet + POOL_SHIFT random bytes */
static int pool_fd;	/* the same, as a file, for sendfile */

static void make_pool(void)
{
	size_t n = opt.packet + POOL_SHIFT;
	uint64_t x = 0x9e3779b97f4a7c15ull;

	pool_fd = memfd_create("relayload", MFD_CLOEXEC);
	if (pool_fd < 0 || ftruncate(pool_fd, n))
		die("memfd");
	pool = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, pool_fd, 0);
	if (pool == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i + 8 <= n; i += 8) {
		x ^= x << 13; x ^= x >> 7; x ^= x << 17;
		memcpy(pool + i, &x, 8);
	}
}

/* Where in the pool the body of a packet starts: differs from packet to packet. */
static size_t body_offset(unsigned stream, uint64_t seq)
{
	return (seq * 509 + stream * 8191u) % POOL_SHIFT;
}

static void fill_ctf(struct ctf_hdr *c, unsigned stream, uint64_t seq)
{
	memset(c, 0, sizeof *c);
	c->magic = 0xc1fc1fc1;
	memcpy(c->uuid, trace_uuid, 16);
	c->stream_instance_id = stream;
	c->timestamp_begin = seq * 1000 + 1;
	c->timestamp_end = seq * 1000 + 999;
	c->content_size = sizeof *c * 8;
	c->packet_size = opt.packet * 8;
	c->packet_seq_num = seq;
	c->cpu_id = stream;
}

/* -------------------------------------------------------------- sessions */

struct viewer;

struct session {
	unsigned nr;
	pthread_t thread;
	int control, data;
	uint64_t id;
	uint64_t *streams;
	uint64_t metadata;
	uint64_t packets;		/* per stream */
	char name[64], path[4096];
	float *rtt;			/* of indexes, or set-ups: microseconds */
	size_t nrtt;
	struct viewer *viewers;
	double drained;
	const char *fault;
};

/* One that reads all of a session back through the live port. */
struct viewer {
	struct session *session;
	pthread_t thread;
	uint64_t requests, bytes;
	const char *fault;
};

static pthread_barrier_t barrier;

static void open_session(struct session *s, unsigned round, bool with_data)
{
	struct msg m = { .n = 0 };
	static const uint8_t sessiond_uuid[16] = { 'r','e','l','a','y','l','o','a','d', 1 };
	uint32_t minor;
	uint64_t chunk = 0;
	time_t t = time(NULL);

	s->control = dial(opt.cport);
	put32(&m, 2); put32(&m, opt.minor);
	command(s->control, CMD_VERSION, m.b, m.n);
	recv_u32(s->control);
	minor = recv_u32(s->control);
	if (minor > opt.minor)
		minor = opt.minor;

	snprintf(s->name, sizeof s->name, "load-%d-%u-%u", getpid(), s->nr, round);
	m.n = 0;
	if (minor >= 11) {
		put32(&m, strlen(s->name) + 1);
		put32(&m, sizeof "bench");
		put32(&m, 1);
		put32(&m, opt.live);
		put8(&m, 0); put8(&m, 0);
		put(&m, sessiond_uuid, 16);
		put64(&m, (uint64_t) getpid() << 32 | (uint64_t) s->nr << 20 | round);
		put64(&m, t);
		put8(&m, 0); put64(&m, 0);
		put(&m, s->name, strlen(s->name) + 1);
		put(&m, "bench", sizeof "bench");
		put(&m, "", 1);
	} else if (minor >= 4) {
		put_fixed(&m, s->name, 255);
		put_fixed(&m, "bench", 64);
		put32(&m, opt.live);
		put32(&m, 0);
	}
	command(s->control, CMD_CREATE_SESSION, m.b, m.n);
	recv_all(s->control, &s->id, 8);
	s->id = be64toh(s->id);
	expect_ok(s->control, "create session");
	if (minor >= 11) {
		uint32_t n = recv_u32(s->control);

		if (n >= sizeof s->path)
			die("output path of %u bytes", n);
		recv_all(s->control, s->path, n);

		m.n = 0;
		put64(&m, chunk); put64(&m, t); put32(&m, 0);
		command(s->control, CMD_CREATE_TRACE_CHUNK, m.b, m.n);
		expect_ok(s->control, "create trace chunk");
	} else {
		snprintf(s->path, sizeof s->path, "bench/%s", s->name);
	}

	if (!s->streams)
		s->streams = calloc(opt.streams, sizeof *s->streams);
	for (unsigned i = 0; i <= opt.streams; i++) {
		char chan[32], dir[128];
		uint64_t handle;

		if (i == opt.streams && opt.no_metadata)
			break;
		if (i == opt.streams)
			strcpy(chan, "metadata");
		else
			snprintf(chan, sizeof chan, "chan_%u", i);
		if (minor >= 11)
			strcpy(dir, "ust");
		else
			snprintf(dir, sizeof dir, "/bench/%s/ust", s->name);
		m.n = 0;
		if (minor >= 11) {
			put32(&m, strlen(chan) + 1); put32(&m, strlen(dir) + 1);
			put64(&m, 0); put64(&m, 0); put64(&m, chunk);
			put(&m, chan, strlen(chan) + 1);
			put(&m, dir, strlen(dir) + 1);
		} else {
			put_fixed(&m, chan, 264);
			put_fixed(&m, dir, 4096);
			put64(&m, 0); put64(&m, 0);
		}
		command(s->control, CMD_ADD_STREAM, m.b, m.n);
		recv_all(s->control, &handle, 8);
		expect_ok(s->control, "add stream");
		*(i == opt.streams ? &s->metadata : &s->streams[i]) = be64toh(handle);
	}
	command(s->control, CMD_STREAMS_SENT, NULL, 0);
	expect_ok(s->control, "streams sent");

	if (!opt.no_metadata) {
		m.n = 0;
		put64(&m, s->metadata); put32(&m, 0);
		put(&m, metadata_text, sizeof metadata_text - 1);
		command(s->control, CMD_SEND_METADATA, m.b, m.n);
	}
	if (with_data) {
		s->data = dial(opt.dport);
	}
}

static void close_session(struct session *s)
{
	for (unsigned i = 0; i < opt.streams; i++) {
		struct msg m = { .n = 0 };

		put64(&m, s->streams[i]);
		put64(&m, s->packets - 1);
		command(s->control, CMD_CLOSE_STREAM, m.b, m.n);
		expect_ok(s->control, "close stream");
	}
	if (!opt.no_metadata) {
		struct msg m = { .n = 0 };

		put64(&m, s->metadata);
		put64(&m, 0);
		command(s->control, CMD_CLOSE_STREAM, m.b, m.n);
		expect_ok(s->control, "close stream");
	}
	close(s->control);
	close(s->data);
}

static void fill_index(struct index_cmd *x, struct session *s, unsigned i, uint64_t seq)
{
	size_t n = sizeof *x - sizeof x->h - (opt.minor < 8 ? 16 : 0);

	memset(x, 0, sizeof *x);
	x->h.data_size = htobe64(n);
	x->h.cmd = htobe32(CMD_SEND_INDEX);
	x->relay_stream_id = htobe64(s->streams[i]);
	x->net_seq_num = htobe64(seq);
	x->packet_size = htobe64(opt.packet * 8);
	x->content_size = htobe64(sizeof(struct ctf_hdr) * 8);
	x->timestamp_begin = htobe64(seq * 1000 + 1);
	x->timestamp_end = htobe64(seq * 1000 + 999);
	x->stream_instance_id = htobe64(i);
	x->packet_seq_num = htobe64(seq);
}

static void collect_replies(struct session *s, unsigned n)
{
	uint32_t r[1024];

	while (n) {
		unsigned k = n < 1024 ? n : 1024;
		int one = 1;

		/*
		 * The C relay leaves Nagle's algorithm on: without this, a
		 * window of answers would measure our delayed acknowledgements.
		 */
		if (opt.window > 1)
			setsockopt(s->control, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
		recv_all(s->control, r, k * 4);
		for (unsigned i = 0; i < k; i++)
			if (be32toh(r[i]) != OK_CODE) {
				errno = 0;
				die("send index answered %u", be32toh(r[i]));
			}
		n -= k;
	}
}

static void pump(struct session *s)
{
	const uint64_t count = s->packets * opt.streams;
	const size_t body = opt.packet - sizeof(struct ctf_hdr);
	const size_t ilen = sizeof(struct index_cmd) - (opt.minor < 8 ? 16 : 0);
	struct { struct data_hdr h; struct ctf_hdr c; } PACKED head[MAX_BATCH];
	struct iovec iov[2 * MAX_BATCH];
	uint8_t idx[MAX_BATCH * sizeof(struct index_cmd)];
	unsigned outstanding = 0;
	double t0 = now(), gap = opt.rate > 0 ?
		(double) opt.packet * opt.sessions / (opt.rate * 1048576.) : 0;

	for (uint64_t k = 0; k < count; ) {
		unsigned n = 0;

		for (; n < opt.batch && k < count; n++, k++) {
			unsigned i = k % opt.streams;
			uint64_t seq = k / opt.streams;
			struct index_cmd x;

			memset(&head[n].h, 0, sizeof head[n].h);
			head[n].h.stream_id = htobe64(s->streams[i]);
			head[n].h.net_seq_num = htobe64(seq);
			head[n].h.data_size = htobe32(opt.packet);
			fill_ctf(&head[n].c, i, seq);
			iov[2 * n].iov_base = &head[n];
			iov[2 * n].iov_len = sizeof head[n];
			iov[2 * n + 1].iov_base = pool + body_offset(i, seq);
			iov[2 * n + 1].iov_len = body;
			fill_index(&x, s, i, seq);
			memcpy(idx + n * ilen, &x, ilen);
		}
		if (gap > 0) {
			double due = t0 + gap * k, t = now();

			if (due > t) {
				struct timespec ts = { (time_t) (due - t),
					(long) ((due - t - (time_t) (due - t)) * 1e9) };
				nanosleep(&ts, NULL);
			}
		}
		if (opt.use_sendfile) {
			for (unsigned j = 0; j < n; j++) {
				off_t off = (uint8_t *) iov[2 * j + 1].iov_base - pool;
				size_t left = body;

				send_all(s->data, &head[j], sizeof head[j], MSG_MORE);
				while (left) {
					ssize_t w = sendfile(s->data, pool_fd, &off, left);

					if (w < 0)
						die("sendfile");
					left -= w;
				}
			}
		} else {
			send_iov(s->data, iov, 2 * n);
		}
		if (opt.window) {
			double t = now();

			send_all(s->control, idx, n * ilen, 0);
			outstanding += n;
			if (opt.window == 1) {
				collect_replies(s, outstanding);
				outstanding = 0;
				s->rtt[s->nrtt++] = (now() - t) * 1e6;
			} else if (outstanding >= opt.window) {
				unsigned take = outstanding - opt.window / 2;

				collect_replies(s, take);
				outstanding -= take;
			}
		}
	}
	collect_replies(s, outstanding);
}

static void drain(struct session *s)
{
	for (unsigned i = 0; i < opt.streams; ) {
		struct msg m = { .n = 0 };
		uint32_t r;

		put64(&m, s->streams[i]);
		put64(&m, s->packets - 1);
		command(s->control, CMD_DATA_PENDING, m.b, m.n);
		r = recv_u32(s->control);
		if (r == 0)
			i++;
		else if (r == 1)
			usleep(500);
		else {
			errno = 0;
			die("data pending answered %u", r);
		}
	}
	s->drained = now();
}

/* ------------------------------------------------------------ live viewer */

enum { V_CONNECT = 1, V_LIST = 2, V_ATTACH = 3, V_NEXT_INDEX = 4, V_PACKET = 5,
	V_METADATA = 6, V_CREATE = 8 };

static void vcommand(int fd, uint32_t cmd, const void *p, size_t n)
{
	struct PACKED { uint64_t size; uint32_t cmd, version; } h =
		{ htobe64(n), htobe32(cmd), 0 };
	struct iovec iov[2] = { { &h, sizeof h }, { (void *) p, n } };

	send_iov(fd, iov, n ? 2 : 1);
}

static bool packet_is_right(const uint8_t *p, unsigned stream, uint64_t seq, size_t n)
{
	struct ctf_hdr c;

	fill_ctf(&c, stream, seq);
	return n >= sizeof c && !memcmp(p, &c, sizeof c) &&
		!memcmp(p + sizeof c, pool + body_offset(stream, seq), n - sizeof c);
}

static void *view(void *arg)
{
	struct viewer *viewer = arg;
	struct session *s = viewer->session;
	struct msg m = { .n = 0 };
	struct PACKED vstream { uint64_t id, trace; uint32_t meta; char path[4096], chan[255]; } vs;
	struct PACKED vsession { uint64_t id; uint32_t timer, clients, streams; char host[64], name[255]; } ss;
	uint64_t want = 0, *ids = calloc(opt.streams, 8), meta = 0;
	uint8_t *buf = malloc(opt.packet);
	uint32_t n, status;
	int fd = dial(opt.lport);

	put64(&m, -1ull); put32(&m, 2); put32(&m, opt.minor); put32(&m, 1);
	vcommand(fd, V_CONNECT, m.b, m.n);
	recv_all(fd, buf, 20);
	vcommand(fd, V_LIST, NULL, 0);
	n = recv_u32(fd);
	while (n--) {
		recv_all(fd, &ss, sizeof ss);
		if (!strcmp(ss.name, s->name))
			want = be64toh(ss.id);
	}
	vcommand(fd, V_CREATE, NULL, 0);
	recv_u32(fd);
	m.n = 0;
	put64(&m, want); put64(&m, 0); put32(&m, 1);
	vcommand(fd, V_ATTACH, m.b, m.n);
	status = recv_u32(fd);
	n = recv_u32(fd);
	if (status != 1) {
		viewer->fault = "viewer: attach refused";
		return NULL;
	}
	while (n--) {
		unsigned i;

		recv_all(fd, &vs, sizeof vs);
		if (be32toh(vs.meta))
			meta = be64toh(vs.id);
		else if (sscanf(vs.chan, "chan_%u", &i) == 1 && i < opt.streams)
			ids[i] = be64toh(vs.id);
	}
	m.n = 0;
	put64(&m, meta);
	vcommand(fd, V_METADATA, m.b, m.n);
	{
		uint64_t len;
		char *text;

		recv_all(fd, &len, 8);
		len = be64toh(len);
		recv_u32(fd);
		text = malloc(len + 1);
		recv_all(fd, text, len);
		free(text);
	}
	for (uint64_t seq = 0; seq < s->packets && !viewer->fault; seq++) {
		for (unsigned i = 0; i < opt.streams; i++) {
			struct PACKED { uint64_t v[7]; uint32_t status, flags; } x;
			uint64_t off;
			uint32_t len;

			do {
				m.n = 0;
				put64(&m, ids[i]);
				vcommand(fd, V_NEXT_INDEX, m.b, m.n);
				recv_all(fd, &x, sizeof x);
				viewer->requests++;
			} while (be32toh(x.status) == 2 || be32toh(x.status) == 5);
			if (be32toh(x.status) != 1) {
				viewer->fault = "viewer: no index";
				break;
			}
			off = be64toh(x.v[0]);
			if (off != seq * opt.packet || be64toh(x.v[1]) != opt.packet * 8) {
				viewer->fault = "viewer: wrong index";
				break;
			}
			for (uint64_t got = 0; got < opt.packet; got += len) {
				uint32_t ask = opt.packet - got;

				if (opt.viewer_len && ask > opt.viewer_len)
					ask = opt.viewer_len;
				m.n = 0;
				put64(&m, ids[i]); put64(&m, off + got); put32(&m, ask);
				vcommand(fd, V_PACKET, m.b, m.n);
				status = recv_u32(fd);
				len = recv_u32(fd);
				recv_u32(fd);
				viewer->requests++;
				if (status != 1 || len != ask) {
					viewer->fault = "viewer: no packet";
					break;
				}
				recv_all(fd, buf + got, len);
				viewer->bytes += len;
			}
			if (viewer->fault || !packet_is_right(buf, i, seq, opt.packet)) {
				if (!viewer->fault)
					viewer->fault = "viewer: wrong bytes";
				break;
			}
		}
	}
	close(fd);
	free(buf);
	free(ids);
	return NULL;
}

/* Let all viewers of a session read it at the same time. */
static void view_all(struct session *s, struct viewer *viewers)
{
	for (unsigned i = 0; i < opt.viewers; i++) {
		viewers[i].session = s;
		if (pthread_create(&viewers[i].thread, NULL, view, &viewers[i]))
			die("pthread_create");
	}
	for (unsigned i = 0; i < opt.viewers; i++) {
		pthread_join(viewers[i].thread, NULL);
		if (viewers[i].fault)
			s->fault = viewers[i].fault;
	}
}

/* ----------------------------------------------------------- verification */

static const uint8_t *map(const char *path, size_t *n)
{
	struct stat st;
	void *p;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "relayload: %s: %s\n", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	*n = st.st_size;
	p = st.st_size ? mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* Find DIR/.../<session><anything>/.../NAME: relays differ in the levels between. */
static bool locate(const char *dir, const char *name, const char *session,
		bool inside, char *out, size_t outsz)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (!found && d && (e = readdir(d))) {
		char sub[4096];
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof sub, "%s/%s", dir, e->d_name);
		if (lstat(sub, &st))
			continue;
		if (S_ISDIR(st.st_mode)) {
			size_t n = strlen(session);
			bool here = !strncmp(e->d_name, session, n) &&
				(e->d_name[n] == '-' || !e->d_name[n]);

			found = locate(sub, name, session, inside || here, out, outsz);
		} else if (inside && !strcmp(e->d_name, name)) {
			snprintf(out, outsz, "%s", sub);
			found = true;
		}
	}
	if (d)
		closedir(d);
	return found;
}

static const char *verify(struct session *s)
{
	const size_t rec = opt.minor < 8 ? 56 : 72;

	for (unsigned i = 0; i < opt.streams; i++) {
		char path[8192], name[64];
		const uint8_t *p;
		size_t n;

		snprintf(name, sizeof name, "chan_%u", i);
		if (!locate(opt.output, name, s->name, false, path, sizeof path))
			return "stream file missing";
		p = map(path, &n);
		if (!p)
			return "stream file unreadable";
		if (n != s->packets * opt.packet)
			return "stream file has the wrong size";
		for (uint64_t q = 0; q < s->packets; q++)
			if (!packet_is_right(p + q * opt.packet, i, q, opt.packet))
				return "stream file has wrong bytes";
		munmap((void *) p, n);

		if (!opt.window)
			continue;
		snprintf(name, sizeof name, "chan_%u.idx", i);
		if (!locate(opt.output, name, s->name, false, path, sizeof path))
			return "index file missing";
		p = map(path, &n);
		if (!p)
			return "index file unreadable";
		if (n != 16 + s->packets * rec)
			return "index file has the wrong size";
		if (be32toh(((uint32_t *) p)[0]) != 0xC1F1DCC1 ||
				be32toh(((uint32_t *) p)[1]) != 1 ||
				be32toh(((uint32_t *) p)[3]) != rec)
			return "index file has a wrong header";
		for (uint64_t q = 0; q < s->packets; q++) {
			struct idx_record x;
			struct idx_record want = {
				.offset = htobe64(q * opt.packet),
				.packet_size = htobe64(opt.packet * 8),
				.content_size = htobe64(sizeof(struct ctf_hdr) * 8),
				.timestamp_begin = htobe64(q * 1000 + 1),
				.timestamp_end = htobe64(q * 1000 + 999),
				.stream_instance_id = htobe64(i),
				.packet_seq_num = htobe64(q),
			};

			memcpy(&x, p + 16 + q * rec, rec);
			if (memcmp(&x, &want, rec))
				return "index file has a wrong record";
		}
		munmap((void *) p, n);
	}
	if (!opt.no_metadata) {
		char path[8192];
		const uint8_t *p;
		size_t n;

		if (!locate(opt.output, "metadata", s->name, false, path, sizeof path))
			return "metadata file missing";
		p = map(path, &n);
		if (!p || n != sizeof metadata_text - 1 || memcmp(p, metadata_text, n))
			return "metadata file has wrong bytes";
		munmap((void *) p, n);
	}
	return NULL;
}

/* ------------------------------------------------------------------- main */

static void *session_main(void *arg)
{
	struct session *s = arg;

	open_session(s, 0, true);
	pthread_barrier_wait(&barrier);		/* ready */
	pthread_barrier_wait(&barrier);		/* go */
	pump(s);
	drain(s);
	pthread_barrier_wait(&barrier);		/* done */
	pthread_barrier_wait(&barrier);		/* measured */
	if (opt.viewers) {
		view_all(s, s->viewers);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
	}
	close_session(s);
	return NULL;
}

static void *handshake_main(void *arg)
{
	struct session *s = arg;

	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < opt.handshakes; i++) {
		double t = now();

		open_session(s, i, true);
		/* A question proves that the relay has done everything before it. */
		if (!opt.no_metadata) {
			struct msg m = { .n = 0 };

			put64(&m, s->metadata); put64(&m, 0);
			command(s->control, CMD_DATA_PENDING, m.b, m.n);
			recv_u32(s->control);
		}
		s->rtt[s->nrtt++] = (now() - t) * 1e6;
		if (!opt.idle) {	/* else they stay until we exit */
			close(s->data);
			close(s->control);
		}
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *) a, y = *(const float *) b;

	return x < y ? -1 : x > y;
}

static uint64_t size_arg(const char *s)
{
	char *end;
	double v = strtod(s, &end);

	switch (*end) {
	case 'k': case 'K': v *= 1 << 10; break;
	case 'm': case 'M': v *= 1 << 20; break;
	case 'g': case 'G': v *= 1 << 30; break;
	}
	return v;
}

static void usage(void)
{
	puts("usage: relayload [OPTION]...\n"
"  -H, --host=HOST            relay's address (127.0.0.1)\n"
"  -C, --control-port=PORT    (5342)\n"
"  -D, --data-port=PORT       (5343)\n"
"  -L, --live-port=PORT       (5344)\n"
"  -s, --sessions=N           sessions, each with its own pair of connections (1)\n"
"  -n, --streams=N            data streams per session (4)\n"
"  -p, --packet-size=SIZE     size of a trace packet; K, M, G suffixes (512K)\n"
"  -b, --bytes=SIZE           how much to send in all (1G)\n"
"  -w, --index-window=N       indexes that may be without an answer; 1 waits for\n"
"                             each as a consumer daemon does, 0 sends none (1)\n"
"  -B, --batch=N              packets per send, up to 128 (1)\n"
"  -m, --minor=N              protocol 2.N to announce (13)\n"
"  -l, --live=USEC            live timer of the sessions (0)\n"
"  -r, --rate=MIB             do not send faster than MIB per second in all\n"
"  -f, --sendfile             send the payloads with sendfile\n"
"      --no-metadata          no metadata stream\n"
"  -o, --output=DIR           the relay's output directory: verify what it wrote\n"
"  -P, --pid=PID              a receiver's process: account its CPU and memory\n"
"                             (with its descendants; may be given again)\n"
"  -V, --viewer               read everything back through the live port\n"
"      --viewers=N            so do N viewers at the same time, each of it all\n"
"      --viewer-request=SIZE  bytes per packet request (the whole packet)\n"
"      --handshakes=N         no data: set up and drop N sessions per thread\n"
"      --idle=N               no data: set up N sessions per thread, keep them all\n"
"                             and say what memory they cost the receiver\n"
"      --label=TEXT           copied into the result");
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "host", 1, 0, 'H' }, { "control-port", 1, 0, 'C' }, { "data-port", 1, 0, 'D' },
		{ "live-port", 1, 0, 'L' }, { "sessions", 1, 0, 's' }, { "streams", 1, 0, 'n' },
		{ "packet-size", 1, 0, 'p' }, { "bytes", 1, 0, 'b' }, { "index-window", 1, 0, 'w' },
		{ "batch", 1, 0, 'B' }, { "minor", 1, 0, 'm' }, { "live", 1, 0, 'l' },
		{ "rate", 1, 0, 'r' }, { "sendfile", 0, 0, 'f' }, { "no-metadata", 0, 0, 1 },
		{ "output", 1, 0, 'o' }, { "pid", 1, 0, 'P' }, { "viewer", 0, 0, 'V' },
		{ "viewer-request", 1, 0, 2 }, { "handshakes", 1, 0, 3 }, { "label", 1, 0, 4 },
		{ "viewers", 1, 0, 5 }, { "idle", 1, 0, 6 },
		{ "help", 0, 0, 'h' }, { 0 }
	};
	struct session *ss;
	double t0, t1 = 0, c0, c1, self0, v0 = 0, v1 = 0, vc0 = 0, vc1 = 0;
	struct timespec ts;
	uint64_t packets, bytes;
	const char *fault = NULL;
	float *rtt;
	size_t nrtt = 0;
	long rss0, rss1;
	int c;

	while ((c = getopt_long(argc, argv, "H:C:D:L:s:n:p:b:w:B:m:l:r:fo:P:Vh", longs, NULL)) != -1)
		switch (c) {
		case 'H': opt.host = optarg; break;
		case 'C': opt.cport = optarg; break;
		case 'D': opt.dport = optarg; break;
		case 'L': opt.lport = optarg; break;
		case 's': opt.sessions = atoi(optarg); break;
		case 'n': opt.streams = atoi(optarg); break;
		case 'p': opt.packet = size_arg(optarg); break;
		case 'b': opt.total = size_arg(optarg); break;
		case 'w': opt.window = atoi(optarg); break;
		case 'B': opt.batch = atoi(optarg); break;
		case 'm': opt.minor = atoi(optarg); break;
		case 'l': opt.live = atoi(optarg); break;
		case 'r': opt.rate = atof(optarg); break;
		case 'f': opt.use_sendfile = true; break;
		case 1: opt.no_metadata = true; break;
		case 2: opt.viewer_len = size_arg(optarg); break;
		case 3: opt.handshakes = atoi(optarg); break;
		case 4: opt.label = optarg; break;
		case 'o': opt.output = optarg; break;
		case 'P':
			if (opt.npids < MAX_PIDS)
				opt.pids[opt.npids++] = atoi(optarg);
			break;
		case 5: opt.viewers = atoi(optarg); break;
		case 6: opt.idle = opt.handshakes = atoi(optarg); break;
		case 'V': opt.viewers = 1; break;
		case 'h': usage(); return 0;
		default: usage(); return 2;
		}
	errno = 0;
	if (!opt.sessions || !opt.streams || !opt.batch || opt.batch > MAX_BATCH ||
			opt.packet < sizeof(struct ctf_hdr) + 1 || opt.minor < 4)
		die("bad option value (see --help)");
	if (opt.batch > 1 && opt.window == 1)
		opt.window = opt.batch;
	make_pool();
	ss = calloc(opt.sessions, sizeof *ss);
	pthread_barrier_init(&barrier, NULL, opt.sessions + 1);
	for (unsigned i = 0; i < opt.sessions; i++) {
		ss[i].nr = i;
		ss[i].viewers = calloc(opt.viewers + 1, sizeof *ss[i].viewers);
		ss[i].packets = opt.total / opt.sessions / opt.streams / opt.packet;
		if (!ss[i].packets)
			ss[i].packets = 1;
		ss[i].rtt = malloc((ss[i].packets * opt.streams + opt.handshakes + 1) * sizeof(float));
		if (pthread_create(&ss[i].thread, NULL,
				opt.handshakes ? handshake_main : session_main, &ss[i]))
			die("pthread_create");
	}
	packets = ss[0].packets * opt.streams * opt.sessions;
	bytes = packets * opt.packet;

	pthread_barrier_wait(&barrier);
	rss0 = receivers_kib("VmRSS");
	c0 = receivers_cpu();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	self0 = ts.tv_sec + ts.tv_nsec * 1e-9;
	t0 = now();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	if (opt.handshakes)
		t1 = now();
	for (unsigned i = 0; i < opt.sessions; i++)
		if (ss[i].drained > t1)
			t1 = ss[i].drained;
	c1 = receivers_cpu();
	rss1 = receivers_kib("VmRSS");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	self0 = ts.tv_sec + ts.tv_nsec * 1e-9 - self0;
	vc0 = receivers_cpu();
	v0 = now();
	pthread_barrier_wait(&barrier);
	if (opt.viewers && !opt.handshakes) {
		pthread_barrier_wait(&barrier);
		v1 = now();
		vc1 = receivers_cpu();
		pthread_barrier_wait(&barrier);
	}
	for (unsigned i = 0; i < opt.sessions; i++) {
		pthread_join(ss[i].thread, NULL);
		nrtt += ss[i].nrtt;
	}
	rtt = malloc((nrtt + 1) * sizeof *rtt);
	nrtt = 0;
	for (unsigned i = 0; i < opt.sessions; i++) {
		memcpy(rtt + nrtt, ss[i].rtt, ss[i].nrtt * sizeof *rtt);
		nrtt += ss[i].nrtt;
		if (ss[i].fault)
			fault = ss[i].fault;
	}
	qsort(rtt, nrtt, sizeof *rtt, by_value);

	if (opt.output && !opt.handshakes && !fault) {
		usleep(20000);
		for (unsigned i = 0; i < opt.sessions && !fault; i++)
			fault = verify(&ss[i]);
	}

	printf("{\"label\": \"%s\", \"sessions\": %u, \"streams\": %u, ",
		opt.label, opt.sessions, opt.streams);
	if (opt.handshakes) {
		double n = (double) opt.handshakes * opt.sessions;

		printf("\"handshakes\": %.0f, \"seconds\": %.6f, \"handshakes_per_s\": %.1f, "
			"\"median_us\": %.1f, \"p99_us\": %.1f, ", n, t1 - t0, n / (t1 - t0),
			rtt[nrtt / 2], rtt[nrtt * 99 / 100]);
		if (opt.npids)
			printf("\"cpu_us_per_handshake\": %.1f, ", (c1 - c0) * 1e6 / n);
	} else {
		printf("\"packet_size\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"index_window\": %u, "
			"\"seconds\": %.6f, \"mib_per_s\": %.1f, \"packets_per_s\": %.0f, ",
			opt.packet, bytes, opt.window, t1 - t0, bytes / 1048576. / (t1 - t0),
			packets / (t1 - t0));
		if (opt.npids)
			printf("\"receiver_cpu_s\": %.4f, \"cpu_s_per_gib\": %.4f, \"cpu_us_per_packet\": %.3f, ",
				c1 - c0, (c1 - c0) / (bytes / 1073741824.), (c1 - c0) * 1e6 / packets);
		printf("\"sender_cpu_s\": %.4f, ", self0);
		if (nrtt)
			printf("\"index_rtt_us\": {\"median\": %.1f, \"p99\": %.1f, \"max\": %.1f}, ",
				rtt[nrtt / 2], rtt[nrtt * 99 / 100], rtt[nrtt - 1]);
		if (opt.viewers) {
			uint64_t vr = 0, vb = 0;

			for (unsigned i = 0; i < opt.sessions; i++)
				for (unsigned j = 0; j < opt.viewers; j++) {
					vr += ss[i].viewers[j].requests;
					vb += ss[i].viewers[j].bytes;
				}
			printf("\"viewer\": {\"seconds\": %.6f, \"requests\": %" PRIu64
				", \"requests_per_s\": %.0f, \"mib_per_s\": %.1f",
				v1 - v0, vr, vr / (v1 - v0), vb / 1048576. / (v1 - v0));
			if (opt.npids)
				printf(", \"cpu_us_per_request\": %.2f, \"cpu_s_per_gib\": %.4f",
					(vc1 - vc0) * 1e6 / vr, (vc1 - vc0) / (vb / 1073741824.));
			printf("}, ");
		}
	}
	if (opt.npids)
		printf("\"peak_rss_kib\": %ld, ", receivers_kib("VmHWM"));
	if (opt.npids && opt.idle)
		printf("\"rss_growth_kib\": %ld, ", rss1 - rss0);
	if (fault)
		printf("\"verified\": false, \"fault\": \"%s\"}\n", fault);
	else
		printf("\"verified\": %s}\n",
			(opt.output && !opt.handshakes) || opt.viewers ? "true" : "null");
	return fault ? 1 : 0;
}

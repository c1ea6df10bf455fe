/*
 * The hot loop of the relay daemon: see lttngnet/relayd/compiled.py, which loads it.
 *
 * It waits for sockets, receives, walks over the headers of packets, writes packets and index entries, and
 * answers SEND_INDEX. All else is an event, which is handed to Python. It opens, names and closes nothing.
 *
 * A plain shared library, without the API of Python: a C compiler is all that is needed to build it.
 * One thread calls it. Nothing is kept back when plane_run returns: what was received is written by then, but
 * for the beginning of a header or command.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED const int32_t plane_version = 2;	/* compiled.py has the same: of what both know of the other */

enum { NOTHING, READABLE, BYTES, COLD, ENDED, FAILED };	/* kinds of events */
enum { CONTROL, DATA };					/* kinds of connections */
enum { EMPTY, PACKET, INDEX, COMING };			/* halves of an index entry that are here, or a packet is coming */

#define READ (1 << 20)		/* bytes: one read of packets, at most … */
#define READ_FEW (1 << 16)	/* … where there are many connections */
#define READ_ALL (1 << 25)	/* what all connections together may bring in one read each */
#define COMMANDS (1 << 16)	/* bytes: one read of commands */
#define PIECES 64		/* of one stream in one system call */
#define RECORDS 16		/* index entries, likewise */
#define ENTRY 72		/* bytes of one, at most */
#define SLOTS 256		/* of a stream, for halves that wait: more are Python's to keep … */
#define HALVES (1 << 16)	/* … as are more than these of all streams */
#define SMALL (1 << 14)		/* bytes of packets between which it is worth to look again */
#define WORTH_WAITING (1 << 15)	/* bytes of a packet that are waited for together */
#define LONG_NAP 1000		/* us: after one, looking was in vain */
#define LONGEST_ROUND 20000	/* us: everybody who is there is served once, unless it takes longer */
#define EVENTS 256		/* that are taken at once */

#define COMMAND_HEADER 24
#define DATA_HEADER 32
#define SEND_INDEX 13
#define LONGEST 80		/* bytes of a SEND_INDEX behind its header */
#define BEFORE 16		/* bytes of it before what the index entry has */
#define OK 10

struct event {
	int32_t kind, fd, error;
	uint32_t size, unsent;		/* bytes */
	const uint8_t *bytes;		/* that were received and are Python's */
	const uint8_t *answers;		/* that the socket did not take */
	uint64_t handle;
};

/* What is known of one packet. */
struct half {
	uint64_t sequence, start, end;
	uint32_t has, unused;
	uint8_t told[LONGEST - BEFORE];
};

struct stream {
	/* Python's to read, and to set before it is used: */
	uint64_t handle, session;
	int32_t data, index;		/* descriptors */
	uint32_t entry;			/* bytes of an index entry: 72 or 56 */
	uint32_t waiting;		/* halves */
	uint64_t limit;			/* bytes of the file; 0: none */
	uint64_t size, index_size;	/* bytes of the files */
	uint64_t packets, entries;	/* how many were finished here */
	uint64_t indexes;		/* how many came here */
	uint64_t sequence;		/* of the last packet */
	uint64_t net_sequence, packet_sequence, end;	/* of the last entry */
	int32_t error, fault;		/* errno of a write, and the connection that met it */
	int32_t inside, is_changed;	/* the connection in the middle of its packet, or -1; since Python looked */
	struct stream *changed;		/* the next of those */
	/* Ours: */
	struct stream *next, *touched, *failing;
	bool is_touched;
	struct half *halves;
	uint32_t slots;
	uint64_t written;		/* bytes of `size` */
	unsigned npieces, nrecords;
	struct iovec pieces[PIECES];
	uint8_t records[RECORDS * ENTRY];
};

/* What Python has to know of a connection to go on with it, or we. */
struct state {
	uint64_t session, handle, sequence, start;
	uint32_t size, padding, left;
	int32_t is_inside;		/* a packet */
	uint32_t nrest;
	uint8_t rest[COMMAND_HEADER + LONGEST];
};

/* What is new of a stream. */
struct change {
	uint64_t handle, size, index_size, waiting, packets, sequence, indexes, entries;
	uint64_t net_sequence, packet_sequence, end;
};

struct connection {
	int fd, kind;
	uint32_t payload;		/* bytes of a SEND_INDEX from this peer */
	bool is_broken;
	int mark;			/* the socket is readable from so many bytes on */
	struct stream *stream;		/* in the middle of whose packet it is */
	struct connection *control, *next;
	struct state at;
};

struct plane {
	/* Python's to read and set: */
	struct event event;
	struct stream *changed;
	struct connection *current;	/* is at a header that is Python's, or was */
	struct stream *failing;
	int32_t poller, others;		/* epoll sets: ours; the reactor's, which ours is in, or -1 */
	int32_t look;			/* us; 0 is never */
	int32_t slept;			/* since plane_run was called */
	uint32_t connections;		/* that Python has in our epoll set */
	int32_t left;			/* connections that have something, and have not been served */
	/* Ours: */
	struct stream *touched;
	struct stream **buckets;
	uint32_t nbuckets, nstreams, halves;
	struct connection **table, *all;
	int ntable;
	size_t at, end;			/* … in what was read */
	struct epoll_event polled[EVENTS];
	int npolled, next;
	int64_t mean, naps;		/* bytes of a packet; us of sleep */
	uint8_t *scratch, *commands;
	uint32_t oks[COMMANDS / (COMMAND_HEADER + 64) + 2];
	uint8_t unsent[sizeof(uint32_t) * (COMMANDS / (COMMAND_HEADER + 64) + 2)];
};

static const uint8_t zeros[1 << 16];

static uint64_t get64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return be64toh(v); }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return be32toh(v); }

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static struct event *event(struct plane *p, int kind, int fd)
{
	p->event = (struct event) { .kind = kind, .fd = fd };
	return &p->event;
}

/* ---------------------------------------------------------------- streams */

static struct stream *find(struct plane *p, uint64_t handle, uint64_t session)
{
	struct stream *s = p->buckets[handle & (p->nbuckets - 1)];

	while (s && s->handle != handle)
		s = s->next;
	return s && s->session == session && !s->error ? s : NULL;
}

static void touch(struct plane *p, struct stream *s)
{
	if (!s->is_touched) {
		s->is_touched = true;
		s->touched = p->touched;
		p->touched = s;
	}
	if (!s->is_changed) {
		s->is_changed = 1;
		s->changed = p->changed;
		p->changed = s;
	}
}

/* Write all of it at *at, and count it there; errno or 0. */
static int write_all(int fd, struct iovec *v, int n, uint64_t *at)
{
	while (n) {
		ssize_t w = pwritev(fd, v, n, (off_t) *at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return errno;
		*at += (uint64_t) w;
		while (n && (size_t) w >= v->iov_len) {
			w -= (ssize_t) v->iov_len;
			v++;
			n--;
		}
		if (n && !w)
			return EIO;
		if (n) {
			v->iov_base = (uint8_t *) v->iov_base + w;
			v->iov_len -= (size_t) w;
		}
	}
	return 0;
}

static int fail(struct plane *p, struct stream *s, int error)
{
	if (error && !s->error) {
		s->size = s->written;
		s->error = error;
		s->fault = -1;
		s->failing = p->failing;
		p->failing = s;
	}
	return error;
}

/* Write what was gathered, packets before the entries that tell of them. */
static int flush(struct plane *p, struct stream *s)
{
	struct iovec v = { s->records, (size_t) s->nrecords * s->entry };
	int e = s->error;

	if (!e && s->npieces)
		e = write_all(s->data, s->pieces, (int) s->npieces, &s->written);
	if (!e && s->nrecords)
		e = write_all(s->index, &v, 1, &s->index_size);
	s->npieces = s->nrecords = 0;
	return fail(p, s, e);
}

static int flush_all(struct plane *p, int fd)
{
	int error = 0;

	while (p->touched) {
		struct stream *s = p->touched;

		p->touched = s->touched;
		s->is_touched = false;
		if (flush(p, s)) {
			error = s->error;
			if (s->fault < 0)
				s->fault = fd;
		}
	}
	return error;
}

static int put(struct plane *p, struct stream *s, const uint8_t *at, size_t n)
{
	touch(p, s);
	s->size += n;
	s->pieces[s->npieces++] = (struct iovec) { (void *) at, n };
	return s->npieces == PIECES ? flush(p, s) : 0;
}

/* Zeros behind a piece: where they are more than that, a hole, which costs no disk. */
static int pad(struct plane *p, struct stream *s, uint32_t n, size_t piece)
{
	int e;

	if (!n)
		return 0;
	if (n <= piece && n <= sizeof zeros)
		return put(p, s, zeros, n);
	touch(p, s);
	e = flush(p, s);
	if (!e && ftruncate(s->data, (off_t) (s->size + n)))
		e = fail(p, s, errno);
	if (!e)
		s->written = s->size += n;
	return e;
}

/* The slot of a packet, NULL when too many wait. */
static struct half *place(struct stream *s, uint64_t sequence)
{
	while (1) {
		struct half *h = s->slots ? &s->halves[sequence & (s->slots - 1)] : NULL;
		uint32_t slots = s->slots ? s->slots * 2 : 8;

		if (h && (h->has == EMPTY || h->sequence == sequence))
			return h;
		if (slots > SLOTS || !(h = calloc(slots, sizeof *h)))
			return NULL;
		for (uint32_t i = 0; i < s->slots; i++)	/* never collides: there are twice as many */
			if (s->halves[i].has != EMPTY)
				h[s->halves[i].sequence & (slots - 1)] = s->halves[i];
		free(s->halves);
		s->halves = h;
		s->slots = slots;
	}
}

/* From one to the other: what is empty or only coming does not wait. */
static void turn(struct plane *p, struct stream *s, struct half *h, uint32_t has)
{
	p->halves += (uint32_t) ((has != EMPTY) - (h->has != EMPTY));
	s->waiting += (uint32_t) ((has == PACKET || has == INDEX) - (h->has == PACKET || h->has == INDEX));
	h->has = has;
}

static int complete(struct plane *p, struct stream *s, struct half *h)
{
	uint8_t *record = s->records + (size_t) s->nrecords++ * s->entry;
	uint64_t start = htobe64(h->start);

	memcpy(record, &start, 8);
	memcpy(record + 8, h->told, s->entry - 8);
	s->entries++;
	s->net_sequence = h->sequence;
	if (s->entry == ENTRY)
		s->packet_sequence = get64(h->told + ENTRY - 16);
	s->end = h->end;
	turn(p, s, h, EMPTY);
	touch(p, s);
	return s->nrecords == RECORDS ? flush(p, s) : 0;
}

/* Whether a half of that packet can be kept, or joined with the other one. */
static struct half *room(struct plane *p, struct stream *s, uint64_t sequence)
{
	struct half *h = place(s, sequence);

	return h && (h->has != EMPTY || p->halves < HALVES) ? h : NULL;
}

/* Keep a slot for the packet that a connection is in the middle of from now on. */
static bool enter(struct plane *p, struct connection *c, struct stream *s)
{
	struct half *h = room(p, s, c->at.sequence);

	if (!h)
		return false;
	if (h->has == EMPTY) {
		h->sequence = c->at.sequence;
		turn(p, s, h, COMING);
	}
	c->stream = s;
	s->inside = c->fd;
	return true;
}

/* It is whole, or we leave it. The slot that it has. */
static struct half *leave(struct plane *p, struct connection *c)
{
	struct stream *s = c->stream;
	struct half *h = place(s, c->at.sequence);

	if (h->has == COMING)
		turn(p, s, h, EMPTY);
	c->stream = NULL;
	s->inside = -1;
	return h;
}

/* ------------------------------------------------------------ connections */

static void set_mark(struct connection *c, uint32_t missing)
{
	int mark = missing < WORTH_WAITING ? 1 : missing < READ ? (int) missing : READ;

	if (mark != c->mark && !setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark))
		c->mark = mark;
}

/* -1: nothing is there; 0: the end, which is an event; else how much came. */
static ssize_t receive(struct plane *p, struct connection *c, uint8_t *at, size_t n)
{
	ssize_t r;

	do
		r = recv(c->fd, at, n, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -1;
	if (r <= 0) {
		event(p, ENDED, c->fd)->error = r ? errno : 0;
		c->is_broken = true;
		return 0;
	}
	return r;
}

/* Send so many OKs. What the socket does not take is Python's. */
static void answer(struct plane *p, struct connection *c, unsigned n, struct event *e)
{
	size_t size = n * sizeof *p->oks;
	ssize_t sent = send(c->fd, p->oks, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0)
		sent = 0;	/* Python finds out what is the matter */
	if ((size_t) sent == size)
		return;
	memcpy(p->unsent, (uint8_t *) p->oks + sent, size - (size_t) sent);
	e->answers = p->unsent;
	e->unsent = (uint32_t) (size - (size_t) sent);
}

/*
 * Whether there is an event now. Where it is asked whether there is an index for a packet that was just
 * received, the answer comes before the packet is written: the peer goes on meanwhile.
 */
static bool serve_control(struct plane *p, struct connection *c, bool is_asked)
{
	uint8_t *buf = p->commands;
	size_t at = 0, end = c->at.nrest;
	struct event said = { 0 };
	unsigned answers = 0;
	bool is_ours = true;
	ssize_t n;

	if (c->is_broken)
		return false;
	memcpy(buf, c->at.rest, end);
	n = receive(p, c, buf + end, COMMANDS - end);
	if (n <= 0)
		return !n;
	end += (size_t) n;
	c->at.nrest = 0;
	while (is_ours && end - at >= COMMAND_HEADER) {
		const uint8_t *told = buf + at + COMMAND_HEADER;
		struct stream *s;
		struct half *h;

		is_ours = get32(buf + at + 16) == SEND_INDEX && get64(buf + at + 8) == c->payload;
		if (!is_ours || end - at < COMMAND_HEADER + c->payload)
			break;
		s = find(p, get64(told), c->at.session);
		/* A packet_size of 0 is a beacon; a second index for a packet is refused: both by Python. */
		is_ours = s && s->entry == c->payload - 8 && get64(told + BEFORE);
		if (!is_ours)
			break;
		h = room(p, s, get64(told + 8));
		is_ours = h && h->has != INDEX;
		if (!is_ours)
			break;
		memcpy(h->told, told + BEFORE, c->payload - BEFORE);
		s->indexes++;
		if (h->has == PACKET) {
			complete(p, s, h);
		} else {
			h->sequence = get64(told + 8);
			turn(p, s, h, INDEX);
			touch(p, s);
		}
		at += COMMAND_HEADER + c->payload;
		answers++;
	}
	if (!is_asked && flush_all(p, c->fd)) {
		c->is_broken = true;	/* the event comes next; it is answered by Python */
		return true;
	}
	if (answers)
		answer(p, c, answers, &said);
	if (is_ours && !said.unsent) {
		c->at.nrest = (uint32_t) (end - at);
		memcpy(c->at.rest, buf + at, end - at);
		return false;
	}
	said.kind = BYTES;
	said.fd = c->fd;
	said.bytes = buf + at;
	said.size = (uint32_t) (end - at);
	c->is_broken = true;
	p->event = said;
	return true;
}

/* Walk over packets; return where that ended: at the end, or at a header that is Python's, an event. */
static size_t walk(struct plane *p, struct connection *c, const uint8_t *buf, size_t at, size_t end)
{
	int e = 0;

	while (!e) {
		struct stream *s = c->stream;
		struct half *h;
		size_t n;

		if (!s) {
			if (end - at < DATA_HEADER)
				break;
			c->at.handle = get64(buf + at + 8);
			c->at.sequence = get64(buf + at + 16);
			c->at.size = c->at.left = get32(buf + at + 24);
			c->at.padding = get32(buf + at + 28);
			s = find(p, c->at.handle, c->at.session);
			if (!s || (s->limit && s->size + c->at.size > s->limit) || !enter(p, c, s)) {
				event(p, s ? BYTES : COLD, c->fd)->handle = c->at.handle;
				break;
			}
			at += DATA_HEADER;
			c->at.start = s->size;
			p->mean += ((int64_t) c->at.size - p->mean) / 4;
			if (at == end && c->at.size)
				break;
		}
		n = end - at < c->at.left ? end - at : c->at.left;
		if (n)
			e = put(p, s, buf + at, n);
		at += n;
		c->at.left -= (uint32_t) n;
		if (c->at.left || e)
			break;
		e = pad(p, s, c->at.padding, n);
		if (e)
			break;
		s->packets++;
		s->sequence = c->at.sequence;
		touch(p, s);
		h = leave(p, c);
		h->start = c->at.start;
		h->end = s->size;
		if (h->has == INDEX) {
			e = complete(p, s, h);
		} else {
			h->sequence = s->sequence;
			turn(p, s, h, PACKET);
		}
	}
	if (e)
		c->is_broken = true;
	return at;
}

/* A packet is here as a whole: its index is on its way, or here. */
static void ask(struct plane *p, struct connection *c)
{
	if (!c->control)
		for (c->control = p->all; c->control; c->control = c->control->next)
			if (c->control->kind == CONTROL && c->control->at.session == c->at.session)
				break;
	if (c->control)
		serve_control(p, c->control, true);
}

static bool carry_on(struct plane *p, struct connection *c, size_t at, size_t end)
{
	at = walk(p, c, p->scratch, at, end);
	if (p->event.kind == NOTHING && !c->stream && at == end && !c->is_broken)
		ask(p, c);
	if (flush_all(p, c->fd))
		c->is_broken = true;
	if (p->event.kind != NOTHING && p->event.fd == c->fd) {
		p->event.bytes = p->scratch + at;
		p->event.size = (uint32_t) (end - at);
		p->current = c;
		p->at = at;
		p->end = end;
		return true;
	}
	if (!c->is_broken) {
		c->at.nrest = (uint32_t) (end - at);
		memcpy(c->at.rest, p->scratch + at, end - at);
		set_mark(c, c->stream ? c->at.left : 0);
	}
	return p->event.kind != NOTHING || p->failing;
}

static bool serve_data(struct plane *p, struct connection *c)
{
	size_t most = READ_ALL / (p->connections ? p->connections : 1), end = c->at.nrest;
	ssize_t n;

	if (c->is_broken)
		return false;
	most = most < READ_FEW ? READ_FEW : most > READ ? READ : most;
	memcpy(p->scratch, c->at.rest, end);
	n = receive(p, c, p->scratch + end, most);
	if (n <= 0)
		return !n;
	c->at.nrest = 0;
	return carry_on(p, c, 0, end + (size_t) n);
}

static struct connection *connection_of(struct plane *p, int fd)
{
	return fd >= 0 && fd < p->ntable ? p->table[fd] : NULL;
}

static bool serve(struct plane *p, int fd)
{
	struct connection *c = connection_of(p, fd);

	if (!c) {
		event(p, READABLE, fd);
		return true;
	}
	return c->kind == CONTROL ? serve_control(p, c, false) : serve_data(p, c);
}

/* ------------------------------------------------------------------- time */

/* A moment for the other half of the core, which may be the peer's. */
static void relax(void)
{
	for (int i = 0; i < 20; i++)
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#else
		;
#endif
}

static int poll_now(struct plane *p)
{
	int n = epoll_wait(p->poller, p->polled, EVENTS, 0);

	p->npolled = n < 0 ? 0 : n;
	p->next = 0;
	for (int i = 0, first = 0; i < n; i++) {	/* commands before packets */
		struct connection *c = connection_of(p, p->polled[i].data.fd);

		if (!c || c->kind == CONTROL) {
			struct epoll_event e = p->polled[i];

			p->polled[i] = p->polled[first];
			p->polled[first++] = e;
		}
	}
	return p->npolled;
}

/* To be woken takes longer than the next small packet, from a peer that sends one after the other. */
static int look(struct plane *p)
{
	int64_t end;
	int n = 0;

	if (!p->look || p->mean >= SMALL || p->naps >= p->look)
		return 0;
	end = now_us() + p->look;
	while (!n && now_us() < end) {
		relax();
		n = poll_now(p);
	}
	return n;
}

/* Sleep until there is something for us alone; otherwise return false. */
static bool sleep_well(struct plane *p, int64_t wait)
{
	struct epoll_event all[8];
	int64_t began = now_us();
	int n = wait < 0 ? -1 : wait > INT64_C(1000000000) ? 1000000 : (int) ((wait + 999) / 1000);

	n = epoll_wait(p->others, all, 8, n);
	began = now_us() - began;
	p->naps += ((began < LONG_NAP ? began : LONG_NAP) - p->naps) / 8;
	p->slept = 1;
	for (int i = 0; i < n; i++)
		if (all[i].data.fd != p->poller)
			return false;
	return n > 0 && poll_now(p);
}

static int run(struct plane *p, int64_t most, int64_t wait);

/*
 * Serve, until there is an event; its kind. NOTHING: there is nothing to do, or others have waited for so many
 * microseconds, or the reactor has something to do. It sleeps for at most `wait` us; less than 0 is for ever.
 */
EXPORTED int plane_run(struct plane *p, int64_t most, int64_t wait)
{
	int kind = run(p, most, wait);

	p->left = p->npolled - p->next;
	return kind;
}

static int run(struct plane *p, int64_t most, int64_t wait)
{
	int64_t began = now_us();
	bool is_up = false;

	event(p, NOTHING, -1);
	p->slept = 0;
	if (p->current && !p->failing) {
		struct connection *c = p->current;

		p->current = NULL;
		is_up = carry_on(p, c, p->at, p->end);
	}
	while (!is_up && !p->failing) {
		while (!is_up && p->next < p->npolled) {
			is_up = serve(p, p->polled[p->next++].data.fd);
			if (!is_up && now_us() - began > (p->next < p->npolled ? LONGEST_ROUND : most))
				return NOTHING;
		}
		if (is_up || poll_now(p) || look(p))
			continue;
		if (!wait || p->others < 0 || !sleep_well(p, wait))
			return NOTHING;
		began = now_us();
	}
	if (p->event.kind == NOTHING && p->failing) {
		struct stream *s = p->failing;

		p->failing = s->failing;
		event(p, FAILED, s->fault);
		p->event.error = s->error;
		p->event.handle = s->handle;
	}
	return p->event.kind;
}

/* ---------------------------------------------- the tables, as Python asks */

EXPORTED void plane_free(struct plane *);

EXPORTED struct plane *plane_new(int poller, int others, int look)
{
	struct plane *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->poller = poller;
	p->others = others;
	p->look = look;
	p->nbuckets = 64;
	p->buckets = calloc(p->nbuckets, sizeof *p->buckets);
	p->scratch = malloc(READ + DATA_HEADER);
	p->commands = malloc(COMMANDS);
	for (size_t i = 0; i < sizeof p->oks / sizeof *p->oks; i++)
		p->oks[i] = htobe32(OK);
	if (!p->buckets || !p->scratch || !p->commands) {
		plane_free(p);
		return NULL;
	}
	return p;
}

/* Serve a connection from now on. errno, or 0. */
EXPORTED int plane_add(struct plane *p, int fd, int kind, uint32_t payload, const struct state *at)
{
	struct stream *s = NULL;
	struct connection *c;

	if (fd < 0 || connection_of(p, fd) || at->nrest > (kind == DATA ? DATA_HEADER : sizeof at->rest) - 1)
		return EINVAL;
	if (kind == CONTROL && payload != LONGEST && payload != LONGEST - 16)
		return EINVAL;
	if (at->is_inside && !(s = find(p, at->handle, at->session)))
		return EINVAL;
	if (fd >= p->ntable) {
		int n = fd + 64;
		struct connection **table = realloc(p->table, (size_t) n * sizeof *table);

		if (!table)
			return ENOMEM;
		memset(table + p->ntable, 0, (size_t) (n - p->ntable) * sizeof *table);
		p->table = table;
		p->ntable = n;
	}
	c = calloc(1, sizeof *c);
	if (!c)
		return ENOMEM;
	c->fd = fd;
	c->kind = kind;
	c->payload = payload;
	c->mark = 1;
	c->at = *at;
	if (s && !enter(p, c, s)) {
		free(c);
		return ENOBUFS;
	}
	c->next = p->all;
	p->all = p->table[fd] = c;
	return 0;
}

/* Serve it no more; say where it is. Returns whether it was served. */
EXPORTED int plane_release(struct plane *p, int fd, struct state *at)
{
	struct connection *c = connection_of(p, fd), **link;

	if (!c)
		return 0;
	*at = c->at;
	at->is_inside = c->stream != NULL;
	if (c->stream)
		leave(p, c);
	set_mark(c, 0);
	for (link = &p->all; *link != c; link = &(*link)->next)
		;
	*link = c->next;
	for (struct connection *d = p->all; d; d = d->next)
		if (d->control == c)
			d->control = NULL;
	if (p->current == c)
		p->current = NULL;
	p->table[fd] = NULL;
	free(c);
	return 1;
}

/* Write the packets of a stream from now on; NULL without memory. The rest of it is Python's to fill in. */
EXPORTED struct stream *plane_stream(struct plane *p, uint64_t handle, uint64_t session, uint64_t size)
{
	struct stream *s, **bucket;

	if (p->nstreams >= p->nbuckets) {
		uint32_t n = p->nbuckets * 2;
		struct stream **buckets = calloc(n, sizeof *buckets);

		if (!buckets)
			return NULL;
		for (uint32_t i = 0; i < p->nbuckets; i++)
			while ((s = p->buckets[i])) {
				p->buckets[i] = s->next;
				bucket = &buckets[s->handle & (n - 1)];
				s->next = *bucket;
				*bucket = s;
			}
		free(p->buckets);
		p->buckets = buckets;
		p->nbuckets = n;
	}
	s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->handle = handle;
	s->session = session;
	s->size = s->written = size;
	s->inside = s->data = s->index = -1;
	bucket = &p->buckets[handle & (p->nbuckets - 1)];
	s->next = *bucket;
	*bucket = s;
	p->nstreams++;
	return s;
}

/* Take a half that waits; 0 if there is no room. */
EXPORTED int plane_keep(struct plane *p, struct stream *s, const struct half *half)
{
	struct half *h = room(p, s, half->sequence);

	if (!h || h->has != EMPTY || (half->has != PACKET && half->has != INDEX))
		return 0;
	turn(p, s, h, half->has);
	*h = *half;
	return 1;
}

/* The next half that waits, from slot i on: the slot after it, or 0. */
EXPORTED uint32_t plane_half(const struct stream *s, uint32_t i, struct half *half)
{
	for (; i < s->slots; i++)
		if (s->halves[i].has == PACKET || s->halves[i].has == INDEX) {
			*half = s->halves[i];
			return i + 1;
		}
	return 0;
}

/* What is new of the streams since it was last asked, of so many at most; of how many it is. */
EXPORTED uint32_t plane_changes(struct plane *p, struct change *changes, uint32_t most)
{
	uint32_t n = 0;

	for (; n < most && p->changed; n++) {
		struct stream *s = p->changed;

		p->changed = s->changed;
		s->is_changed = 0;
		changes[n] = (struct change) {
			s->handle, s->size, s->index_size, s->waiting, s->packets, s->sequence, s->indexes, s->entries,
			s->net_sequence, s->packet_sequence, s->end,
		};
	}
	return n;
}

static void unlink_stream(struct stream **list, struct stream *s, size_t link)
{
	struct stream **at = list;

	while (*at && *at != s)
		at = (struct stream **) (void *) ((uint8_t *) *at + link);
	if (*at)
		memcpy(at, (uint8_t *) s + link, sizeof *at);
}

/* Write its packets no more; no connection is in the middle of one. */
EXPORTED void plane_forget(struct plane *p, struct stream *s)
{
	unlink_stream(&p->buckets[s->handle & (p->nbuckets - 1)], s, offsetof(struct stream, next));
	if (s->is_touched)
		unlink_stream(&p->touched, s, offsetof(struct stream, touched));
	if (s->is_changed)
		unlink_stream(&p->changed, s, offsetof(struct stream, changed));
	unlink_stream(&p->failing, s, offsetof(struct stream, failing));
	p->nstreams--;
	p->halves -= s->waiting;	/* no packet is coming */
	free(s->halves);
	free(s);
}

EXPORTED void plane_free(struct plane *p)
{
	struct state at;

	while (p->all)
		plane_release(p, p->all->fd, &at);
	for (uint32_t i = 0; p->buckets && i < p->nbuckets; i++)
		while (p->buckets[i])
			plane_forget(p, p->buckets[i]);
	free(p->table);
	free(p->buckets);
	free(p->scratch);
	free(p->commands);
	free(p);
}

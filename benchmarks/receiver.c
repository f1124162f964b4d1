/* A client that only receives: what the receive system call alone costs, and how true a user's clock can be.
 *
 *     receiver ADDRESS PORT STREAMS BODIES SAMPLES LIMIT_S
 *
 * A closed loop of STREAMS keep-alive connections on one epoll loop. Each line of BODIES is posted once. It parses
 * nothing: each recv that brings bytes of an answer's body gets one instant of CLOCK_MONOTONIC, and an answer ends
 * with the last chunk's "0\r\n\r\n". SAMPLES: for each request the native int64s sent, count, and `count` instants.
 * Exit status: 0 done, 1 an error, 3 not done within LIMIT_S seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATH "/v1/chat/completions"
#define HEAD_MAX 8192
#define END "0\r\n\r\n"
#define END_LEN 5

struct request { char *bytes; size_t length; int64_t sent; int64_t *instants; int64_t count, room; };
struct stream { int fd; long request; int in_body; size_t head_length, tail_length; char head[HEAD_MAX + 1], tail[END_LEN]; };

static struct request *requests;
static long asked, wanted, finished;

static void fail(const char *what) {
    fprintf(stderr, "receiver: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *must(void *memory) {
    if (!memory) fail("memory");
    return memory;
}

/* Every request's bytes are made before the first is sent. */
static void read_bodies(const char *path, const char *host) {
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, file)) > 0) {
        while (length && line[length - 1] == '\n') line[--length] = 0;
        requests = must(realloc(requests, (wanted + 1) * sizeof *requests));
        struct request *one = &requests[wanted++];
        memset(one, 0, sizeof *one);
        int made = asprintf(&one->bytes, "POST " PATH " HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zd\r\n\r\n%s", host, length, line);
        if (made < 0) fail("memory");
        one->length = made;
    }
    free(line);
    fclose(file);
}

static void ask(struct stream *stream) {
    if (asked == wanted) { close(stream->fd); return; }
    stream->request = asked++;
    stream->in_body = 0;
    stream->head_length = stream->tail_length = 0;
    struct request *one = &requests[stream->request];
    one->sent = now_ns();
    if (send(stream->fd, one->bytes, one->length, MSG_NOSIGNAL) != (ssize_t)one->length) fail("send");
}

static void stamp(struct request *one, int64_t at) {
    if (one->count == one->room) {
        one->room = one->room ? one->room * 2 : 128;
        one->instants = must(realloc(one->instants, one->room * sizeof *one->instants));
    }
    one->instants[one->count++] = at;
}

/* The answer's last bytes may come in pieces: those before are kept. */
static int at_end(struct stream *stream, const char *bytes, size_t length) {
    if (length >= END_LEN) {
        memcpy(stream->tail, bytes + length - END_LEN, END_LEN);
        stream->tail_length = END_LEN;
    } else {
        size_t keep = stream->tail_length < END_LEN - length ? stream->tail_length : END_LEN - length;
        memmove(stream->tail, stream->tail + stream->tail_length - keep, keep);
        memcpy(stream->tail + keep, bytes, length);
        stream->tail_length = keep + length;
    }
    return stream->tail_length == END_LEN && memcmp(stream->tail, END, END_LEN) == 0;
}

/* Bytes of the body in this piece; the head is collected until its end is seen. */
static size_t body_of(struct stream *stream, char **bytes, size_t length) {
    if (stream->in_body) return length;
    size_t before = stream->head_length;
    size_t copied = length < HEAD_MAX - before ? length : HEAD_MAX - before; /* a whole answer may be one piece */
    memcpy(stream->head + before, *bytes, copied);
    stream->head_length += copied;
    stream->head[stream->head_length] = 0;
    char *end = strstr(stream->head, "\r\n\r\n");
    if (!end) return stream->head_length == HEAD_MAX ? (fail("head"), 0) : 0;
    if (strncmp(stream->head, "HTTP/1.1 200", 12) != 0) { errno = 0; fail("status"); }
    stream->in_body = 1;
    size_t head = (end + 4 - stream->head) - before;
    *bytes += head;
    return length - head;
}

static void receive(struct stream *stream) {
    static char buffer[65536];
    char *bytes = buffer;
    ssize_t got = recv(stream->fd, buffer, sizeof buffer, 0);
    int64_t at = now_ns();
    if (got <= 0) fail("recv");
    size_t length = body_of(stream, &bytes, got);
    if (!length) return;
    stamp(&requests[stream->request], at);
    if (at_end(stream, bytes, length)) { finished++; ask(stream); }
}

static void write_samples(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail(path);
    for (long i = 0; i < wanted; i++) {
        fwrite(&requests[i].sent, sizeof(int64_t), 1, file);
        fwrite(&requests[i].count, sizeof(int64_t), 1, file);
        fwrite(requests[i].instants, sizeof(int64_t), requests[i].count, file);
    }
    if (ferror(file) || fclose(file)) fail(path);
}

static int connected(const char *address, const char *port) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, address, &where.sin_addr) != 1) fail(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&where, sizeof where)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "usage: receiver ADDRESS PORT STREAMS BODIES SAMPLES LIMIT_S\n"); return 2; }
    alarm(atoi(argv[6]) + 5); /* should the loop below ever stand still */
    read_bodies(argv[4], argv[1]);
    int64_t until = now_ns() + atoll(argv[6]) * 1000000000;
    long count = atol(argv[3]);
    struct stream *streams = must(calloc(count, sizeof *streams));
    int epoll = epoll_create1(0);
    for (long i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &streams[i]};
        streams[i].fd = connected(argv[1], argv[2]);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, streams[i].fd, &event)) fail("epoll_ctl");
    }
    for (long i = 0; i < count; i++) ask(&streams[i]);
    struct epoll_event ready[256];
    while (finished < wanted) {
        if (now_ns() > until) return 3;
        int n = epoll_wait(epoll, ready, 256, 1000);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) receive(ready[i].data.ptr);
    }
    write_samples(argv[5]);
    return 0;
}

# SPDX-License-Identifier: GPL-2.0-only
"""The datapath's connections, read out of its maps. The layouts are those of include/nsbpf/types.h."""
import functools
import itertools
import mmap
import struct

from bpf import Map

TUPLE_SIZE = 40
CONN = struct.Struct("=40s40sII16sIIHHHHBBBB4x")
TRAFFIC = struct.Struct("=QQIIIBB2x")
BUCKET = struct.Struct("=8x7Q")
BLOCK_SIZE = 32
CONN_TAGS, CONN_ROUTED = 80, 108  # offsets
ORIGINAL, REPLY = range(2)


def reverse(key):
    saddr, daddr, sport, dport, proto = struct.unpack("=16s16s2s2s4s", key)
    return struct.pack("=16s16s2s2s4s", daddr, saddr, dport, sport, proto)


class Entry:
    """One direction of a connection."""

    def __init__(self, place, direction, conn, traffic, deadline):
        self.place, self.direction, self.deadline = place, direction, deadline
        (*tuples, tag, reply_tag, _, self.oif, self.routed, self.mtu, self.endpoint, target, reply_target, self.flags,
         self.source_ports, self.target_ports, self.listed) = CONN.unpack(conn)
        self.packets, self.bytes, self.seen, self.acked, self.edge, self.tcp, self.scale = TRAFFIC.unpack(traffic)
        self.key, self.other = tuples[direction], tuples[not direction]
        self.tag, self.target = (tag, target) if self.original else (reply_tag, reply_target)

    @property
    def original(self):
        return self.direction == ORIGINAL

    @property
    def xlat(self):
        """What this direction's packets become."""
        return reverse(self.other)

    @property
    def word(self):
        """As the index has it."""
        return self.tag << 32 | self.place << 1 | self.direction

    def __repr__(self):
        return str(self.__dict__)


class Connections:
    """All of them. By key: an Entry each, that of its direction."""

    def __init__(self, pins):
        sizes = {"connections": CONN.size, "traffic": TRAFFIC.size, "deadlines": BLOCK_SIZE, "places": BLOCK_SIZE}
        self._index = Map(f"{pins}/maps/conn_index", 4, BUCKET.size)
        self._maps = [Map(f"{pins}/maps/{name}", 4, size) for name, size in sizes.items()]
        self._conns, self._traffic, deadlines, places = (
            mmap.mmap(map_.fd, map_.max_entries * map_.value_size) for map_ in self._maps)
        self._deadlines, self._places = memoryview(deadlines).cast("I"), memoryview(places).cast("I")
        self.room = len(self._places)

    def close(self):
        for map_ in (self._index, *self._maps):
            map_.close()

    def entry(self, place, direction):
        at = place - 1 + direction * self.room
        return Entry(place, direction, self._conns[(place - 1) * CONN.size:place * CONN.size],
                     self._traffic[at * TRAFFIC.size:(at + 1) * TRAFFIC.size], self._deadlines[place - 1])

    def live(self):
        """Their places."""
        return list(itertools.compress(range(1, self.room + 1), self._deadlines))

    def values(self):
        return [self.entry(place, direction) for place in self.live() for direction in (ORIGINAL, REPLY)]

    def originals(self):
        return [self.entry(place, ORIGINAL) for place in self.live()]

    def items(self):
        return [(entry.key, entry) for entry in self.values()]

    def keys(self):
        return [entry.key for entry in self.values()]

    def get(self, key):
        """The one with that key, or None."""
        for place in self.live():
            offset = self._conns[(place - 1) * CONN.size:(place - 1) * CONN.size + 2 * TUPLE_SIZE].find(key)
            if offset in (0, TUPLE_SIZE):
                return self.entry(place, offset // TUPLE_SIZE)
        return None

    # by hand
    def write(self, entry, offset, word):
        """Into its connection."""
        struct.pack_into("=I", self._conns, (entry.place - 1) * CONN.size + offset, word)

    def set_deadline(self, entry, deadline):
        self._deadlines[entry.place - 1] = deadline

    def hide(self, entry):
        """Takes it out of the index; what is returned puts it back, unless anything else has come or gone there."""
        buckets = self._index.values()
        at = next(at for at in range(0, len(buckets), BUCKET.size) if entry.word in BUCKET.unpack_from(buckets, at))
        number, bucket = struct.pack("=I", at // BUCKET.size), buckets[at:at + BUCKET.size]
        self._index.update(number, bucket.replace(struct.pack("=Q", entry.word), bytes(8)))
        return functools.partial(self._index.update, number, bucket)

    # beside them
    def words(self):
        """What is in the index."""
        return [word for bucket in BUCKET.iter_unpack(self._index.values()) for word in bucket if word]

    def free(self, taken, given):
        """The free places; so many have been taken and given back."""
        return [self._places[number % self.room] for number in range(taken, given)]

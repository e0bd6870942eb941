using System.Numerics;
using Fleet.Kernel.Host;

namespace Fleet.Kernel;

/// <summary>
/// The occupied granules of one chunk: one bit each, set and cleared by compare-and-swap of whole words.
/// </summary>
/// <remarks>
/// Invariant: a published segment is never moved or dropped while the chunk lives, so no concurrent set is lost by
/// growth.
/// Nothing exists before the first bit was set: the chunks of an idle device hold none.
/// Segment k holds twice the words of segment k-1 and exists once a bit in it was set: memory follows the highest
/// granule ever used (at most twice as many words), not the size of the chunk.
/// Concurrency: any thread for words; <see cref="Clear"/> and <see cref="Shape"/> only when nobody else uses the chunk.
/// Source: the word operations of lib/genalloc.c and the searches of lib/bitmap.c, kernel-model B.2.
/// </remarks>
internal struct GranuleBitmap
{
    private const int FirstWords = 8;
    private const int FirstWordsLog2 = 3;

    private ulong[]? _first;
    private ulong[]?[]? _rest;

    /// <summary>Bits in use by the searches: [0, <see cref="Bits"/>).</summary>
    public long Bits { get; private set; }

    /// <summary>Words of memory held, in bytes.</summary>
    public readonly long HeldBytes
    {
        get
        {
            long words = (_first?.Length ?? 0) + (_rest?.Length ?? 0);
            foreach (var segment in _rest ?? [])
            {
                words += segment?.Length ?? 0;
            }

            return words * sizeof(ulong);
        }
    }

    /// <summary>
    /// Bits that one word holds from <paramref name="bit"/> on, at most <paramref name="count"/> of them.
    /// </summary>
    public static ulong MaskOf(long bit, long count, out long taken)
    {
        var offset = (int)(bit & 63);
        taken = Math.Min(64 - offset, count);
        return (taken == 64 ? ulong.MaxValue : (1UL << (int)taken) - 1) << offset;
    }

    public readonly void AddTo(ReachedObjects reached) => reached.Add(_first);

    /// <summary>Makes an empty bitmap of <paramref name="bits"/> bits.</summary>
    public void Shape(long bits)
    {
        Bits = bits;
        _first = null;
        _rest = null;
    }

    /// <summary>Clears every bit and keeps the memory.</summary>
    public readonly void Clear()
    {
        _first.AsSpan().Clear();
        foreach (var segment in _rest ?? [])
        {
            segment.AsSpan().Clear();
        }
    }

    /// <summary>Word <paramref name="word"/>; 0 where no segment exists or beyond the last granule.</summary>
    public readonly ulong Read(long word)
    {
        var segment = Segment(word, out var index);
        return segment is not null && index < segment.Length ? Volatile.Read(ref segment[index]) : 0;
    }

    /// <summary>Sets the bits of <paramref name="mask"/> at once, or none of them when one is set already.</summary>
    public bool TrySet(long word, ulong mask)
    {
        ref var target = ref Ensure(word);
        var seen = Volatile.Read(ref target);
        while (true)
        {
            if ((seen & mask) != 0)
            {
                return false;
            }

            var found = Interlocked.CompareExchange(ref target, seen | mask, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }
    }

    /// <summary>
    /// Clears the bits of <paramref name="mask"/> at once, or none of them when one is clear already.
    /// </summary>
    public readonly bool TryClear(long word, ulong mask)
    {
        var segment = Segment(word, out var index);
        if (segment is null || index >= segment.Length)
        {
            return false;
        }

        ref var target = ref segment[index];
        var seen = Volatile.Read(ref target);
        while (true)
        {
            if ((seen & mask) != mask)
            {
                return false;
            }

            var found = Interlocked.CompareExchange(ref target, seen & ~mask, seen);
            if (found == seen)
            {
                return true;
            }

            seen = found;
        }
    }

    /// <summary>
    /// Finds the lowest run of <paramref name="count"/> clear bits at or after <paramref name="from"/> whose start plus
    /// <paramref name="alignOffset"/> is a multiple of <paramref name="alignMask"/> + 1; <see cref="Bits"/> when there
    /// is none.
    /// </summary>
    public readonly long FindZeroArea(long from, long count, ulong alignMask = 0, ulong alignOffset = 0)
    {
        while (true)
        {
            if (from >= Bits)
            {
                return Bits;
            }

            var start = NextZero(from);
            if (alignMask != 0)
            {
                var aligned = unchecked((((ulong)start + alignOffset + alignMask) & ~alignMask) - alignOffset);
                if (aligned >= (ulong)Bits || (long)aligned < start)
                {
                    // The sum wrapped, or the alignment is 0: the kernel finds nothing, or never returns.
                    return Bits;
                }

                start = (long)aligned;
            }

            if (count > Bits - start)
            {
                return Bits;
            }

            var set = NextSet(start, start + count);
            if (set >= start + count)
            {
                return start;
            }

            from = set + 1;
        }
    }

    /// <summary>
    /// The lowest clear bit at or after <paramref name="from"/>; <see cref="Bits"/> when there is none.
    /// </summary>
    public readonly long NextZero(long from)
    {
        if (from >= Bits)
        {
            return Bits;
        }

        var word = from >> 6;
        var clear = ~Read(word) & (ulong.MaxValue << (int)(from & 63));
        if (clear == 0)
        {
            word = NextWordOtherThan(ulong.MaxValue, word + 1, WordsOf(Bits));
            clear = ~Read(word);
        }

        return Math.Min((word << 6) + BitOperations.TrailingZeroCount(clear), Bits);
    }

    /// <summary>
    /// The lowest set bit in [<paramref name="from"/>, <paramref name="end"/>); <paramref name="end"/> when none.
    /// </summary>
    public readonly long NextSet(long from, long end)
    {
        if (from >= end)
        {
            return end;
        }

        var word = from >> 6;
        var words = WordsOf(end);
        var set = Read(word) & (ulong.MaxValue << (int)(from & 63));
        while (set == 0)
        {
            word = NextWordOtherThan(0, word + 1, words);
            if (word >= words)
            {
                return end;
            }

            // 0 where another thread cleared it since: the search goes on.
            set = Read(word);
        }

        return Math.Min((word << 6) + BitOperations.TrailingZeroCount(set), end);
    }

    /// <summary>Folds the set bits in; segments that exist but hold nothing make no difference.</summary>
    public readonly void HashInto(ref ulong hash)
    {
        var words = WordsOf(Bits);
        for (var word = NextWordOtherThan(0, 0, words); word < words; word = NextWordOtherThan(0, word + 1, words))
        {
            StateHash.Mix(ref hash, word);
            StateHash.Mix(ref hash, Read(word));
        }
    }

    private static long WordsOf(long bits) => (bits >> 6) + ((bits & 63) != 0 ? 1 : 0);

    private static int SegmentOf(long word) => BitOperations.Log2((ulong)word + FirstWords) - FirstWordsLog2;

    private static long FirstWordOf(int segment) => ((long)FirstWords << segment) - FirstWords;

    private readonly ulong[]? Segment(long word, out int index)
    {
        if (word < FirstWords)
        {
            index = (int)word;
            return _first;
        }

        var segment = SegmentOf(word);
        index = (int)(word - FirstWordOf(segment));
        var rest = _rest;
        return segment <= rest?.Length ? Volatile.Read(ref rest[segment - 1]) : null;
    }

    private ref ulong Ensure(long word)
    {
        if (word < FirstWords)
        {
            return ref (_first ?? Publish(ref _first, (int)Math.Min(FirstWords, WordsOf(Bits))))[word];
        }

        var number = SegmentOf(word);
        ref var slot = ref (_rest ?? Publish(ref _rest, SegmentOf(WordsOf(Bits) - 1)))[number - 1];
        var segment = Volatile.Read(ref slot);
        if (segment is null)
        {
            var fresh = new ulong[FirstWords << number];
            segment = Interlocked.CompareExchange(ref slot, fresh, null) ?? fresh;
        }

        return ref segment[word - FirstWordOf(number)];
    }

    private static T[] Publish<T>(ref T[]? field, int length)
    {
        var fresh = new T[length];
        return Interlocked.CompareExchange(ref field, fresh, null) ?? fresh;
    }

    /// <summary>The first word at or after <paramref name="word"/> that is not <paramref name="same"/>.</summary>
    private readonly long NextWordOtherThan(ulong same, long word, long words)
    {
        while (word < words)
        {
            var segment = Segment(word, out var index);
            if (segment is null)
            {
                if (same != 0)
                {
                    return word;
                }

                word = FirstWordOf(SegmentOf(word) + 1);
                continue;
            }

            var found = segment.AsSpan(index).IndexOfAnyExcept(same);
            if (found >= 0)
            {
                return Math.Min(word + found, words);
            }

            word += segment.Length - index;
        }

        return words;
    }
}

using System.Runtime.CompilerServices;
using Fleet.Kernel;

namespace Fleet.Simulation.Exploration;

/// <summary>
/// Digest of everything that can be reached from a few roots: objects, lists, and the frames of suspended procedures.
/// </summary>
/// <remarks>
/// Objects are numbered in the order in which they are met, so the digest does not depend on where they lie or when
/// they were made. Complete by construction: every field of every object counts, but for those that
/// <see cref="Kernel.Host.NotStateAttribute"/> names and the types of <see cref="TypePlan.IsConstant"/>. Two states
/// with the same digest go on alike, whatever led to them. Source: docs/decisions/0107.
/// Concurrency: one thread. Memory: one entry for each object met since the table was last emptied.
/// </remarks>
internal sealed class StateGraph(IReadOnlyList<object> roots)
{
    /// <summary>Objects remembered with their plans; frames and lists are met again in every schedule.</summary>
    private const int KnownMax = 1 << 14;

    private Entry[] _table = [];
    private Entry[] _met = new Entry[256];
    private int _known;
    private int _count;
    private int _round;
    private ulong _hash;

    private sealed class Entry(object one, TypePlan plan)
    {
        internal readonly object Object = one;
        internal readonly TypePlan Plan = plan;
        internal Entry? Next;
        internal int Round;
        internal int Number;
    }

    /// <summary>The digest so far, for objects that fold themselves in.</summary>
    internal ref ulong Hash => ref _hash;

    internal ulong Digest()
    {
        if (_known > KnownMax || _table.Length == 0)
        {
            _table = new Entry[KnownMax];
            _known = 0;
        }

        _round++;
        _count = 0;
        _hash = StateHash.Seed;
        foreach (var root in roots)
        {
            Number(root);
        }

        for (var i = 0; i < _count; i++)
        {
            var met = _met[i];
            Word(met.Plan.Id);
            met.Plan.Fold(met.Object, this);
        }

        return _hash;
    }

    /// <summary>Folds a word in.</summary>
    internal void Word(ulong word) => StateHash.Mix(ref _hash, word);

    /// <summary>Folds in which object it is; what it holds follows later.</summary>
    internal void Reference(object? one) => StateHash.Mix(ref _hash, one is null ? 0UL : (ulong)Number(one));

    internal void Text(string? text)
    {
        Word(text is null ? ulong.MaxValue : (ulong)text.Length);
        foreach (var letter in text.AsSpan())
        {
            Word(letter);
        }
    }


    /// <returns>1 for the first object met in this digest.</returns>
    private int Number(object one)
    {
        var met = Find(one);
        if (met.Round == _round)
        {
            return met.Number;
        }

        met.Round = _round;
        if (_count == _met.Length)
        {
            Array.Resize(ref _met, 2 * _count);
        }

        _met[_count++] = met;
        met.Number = _count;
        return _count;
    }

    private Entry Find(object one)
    {
        var place = RuntimeHelpers.GetHashCode(one) & (_table.Length - 1);
        for (var entry = _table[place]; entry is not null; entry = entry.Next)
        {
            if (ReferenceEquals(entry.Object, one))
            {
                return entry;
            }
        }

        _known++;
        return _table[place] = new(one, TypePlan.Of(one.GetType())) { Next = _table[place] };
    }
}

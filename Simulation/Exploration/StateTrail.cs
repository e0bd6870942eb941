using System.Numerics;
using System.Runtime.CompilerServices;
using Fleet.Kernel.Host;

namespace Fleet.Simulation.Exploration;

/// <summary>
/// States that a world went through, the frames of its suspended procedures included, to go back to any of them.
/// </summary>
/// <remarks>
/// At each mark every object that can be reached is compared with its copy, and what it held at the mark before is kept
/// where it differs. Complete by construction, like <see cref="StateGraph"/>: objects are found through every field,
/// those made since the mark before through the fields that changed and the frames that were kept. Frames change only
/// when their actor steps. Source: docs/decisions/0108. Concurrency: one thread, the world's.
/// </remarks>
internal sealed class StateTrail
{
    private readonly Actor[] _actors;
    private readonly Entry?[] _table = new Entry?[1 << 9];
    private readonly FrameStore _frames = FrameStore.Of;
    private readonly Stack<FrameChain> _spareChains = new();
    private Entry[] _met = new Entry[128];
    private Slot[] _slots = new Slot[128];
    private Change[] _changes = new Change[128];
    private Mark[] _marks = new Mark[32];
    private FrameChain[] _chains;
    private int _metCount;
    private int _slotCount;
    private int _changeCount;
    private uint _stepped;

    internal StateTrail(IEnumerable<object> roots, Actor[] actors)
    {
        _actors = actors;
        _chains = new FrameChain[_marks.Length * actors.Length];
        _frames.Follow(actors);
        _stepped = (1U << actors.Length) - 1;
        foreach (var root in roots)
        {
            See(root);
        }
    }

    private readonly record struct Change(int Slot, object Before);

    /// <param name="Kept">Actors that had stepped since the mark before.</param>
    private readonly record struct Mark(int Depth, int Met, int Slots, int Changes, uint Kept);

    private sealed record Entry(object Object, TypePlan Plan, Entry? Next);

    /// <summary>An object that can change.</summary>
    private struct Slot
    {
        internal object Object;

        /// <summary>What it held at the newest mark.</summary>
        internal object Copy;
        internal Func<object, object, bool> Differ;
        internal TypePlan Plan;

        /// <summary>Copies that are no longer needed.</summary>
        internal Stack<object>? Spare;
    }

    /// <summary>False once something was met that cannot be put back; the trail is then of no use.</summary>
    internal bool IsWhole { get; private set; } = true;

    /// <summary>Marks on the trail.</summary>
    internal int Count { get; private set; }

    /// <summary>Steps that had been run at the newest mark.</summary>
    internal int Depth => _marks[Count - 1].Depth;

    private Span<FrameChain> ChainsOf(int mark) => _chains.AsSpan(mark * _actors.Length, _actors.Length);

    internal void Stepped(int actor) => _stepped |= 1U << actor;

    /// <summary>Keeps the present state.</summary>
    /// <param name="depth">Steps that have been run.</param>
    internal void Keep(int depth)
    {
        if (Count == _marks.Length)
        {
            Array.Resize(ref _marks, 2 * Count);
            Array.Resize(ref _chains, 2 * _chains.Length);
        }

        var visited = Count == 0 ? 0 : _metCount;
        var slots = _slotCount;
        for (var i = 0; i < slots; i++)
        {
            ref var slot = ref _slots[i];
            if (slot.Differ(slot.Object, slot.Copy))
            {
                KeepChange(i);
            }
        }

        KeepFrames();
        for (; visited < _metCount; visited++)
        {
            _met[visited].Plan.Visit(_met[visited].Object, this);
        }

        _marks[Count++] = new(depth, _metCount, _slotCount, _changeCount, _stepped);
        _stepped = 0;
    }

    /// <summary>Goes back to the newest mark at or before <paramref name="depth"/>, which stays.</summary>
    /// <returns>Steps that had been run there.</returns>
    internal int GoBack(int depth)
    {
        var stepped = _stepped;
        for (; Depth > depth; Count--)
        {
            var dropped = _marks[Count - 1].Kept;
            stepped |= dropped;
            for (; dropped != 0; dropped &= dropped - 1)
            {
                var chain = ChainsOf(Count - 1)[BitOperations.TrailingZeroCount(dropped)];
                chain.Release();
                _spareChains.Push(chain);
            }
        }

        var mark = _marks[Count - 1];
        while (_metCount > mark.Met)
        {
            ref var last = ref _met[--_metCount];
            _table[PlaceOf(last.Object)] = last.Next;
            last = null!;
        }

        _slots.AsSpan(mark.Slots.._slotCount).Clear();
        _slotCount = mark.Slots;
        for (; _changeCount > mark.Changes; _changeCount--)
        {
            ref var change = ref _changes[_changeCount - 1];
            if (change.Slot < _slotCount)
            {
                ref var slot = ref _slots[change.Slot];
                (slot.Spare ??= new()).Push(slot.Copy);
                slot.Copy = change.Before;
            }

            change = default;
        }

        for (var i = 0; i < _slotCount; i++)
        {
            ref var slot = ref _slots[i];
            if (slot.Differ(slot.Object, slot.Copy))
            {
                slot.Plan.PutBack!(slot.Copy, slot.Object);
            }
        }

        var chains = ChainsOf(Count - 1);
        _frames.FreeAllBut(chains);
        for (; stepped != 0; stepped &= stepped - 1)
        {
            chains[BitOperations.TrailingZeroCount(stepped)].PutBack();
        }

        _stepped = 0;
        return mark.Depth;
    }

    /// <summary>An object that the state leads to.</summary>
    internal void See(object? one)
    {
        if (one is null)
        {
            return;
        }

        ref var first = ref _table[PlaceOf(one)];
        for (var entry = first; entry is not null; entry = entry.Next)
        {
            if (ReferenceEquals(entry.Object, one))
            {
                return;
            }
        }

        if (one is Delegate called)
        {
            See(called.Target);
            return;
        }

        var type = one.GetType();
        IsWhole &= one is not Task;
        var plan = TypePlan.Of(type);
        if (one is string or Task || type.IsValueType || plan.IsConstant || one is Array { Length: 0 }
            || FrameStore.FrameType.IsAssignableFrom(type))
        {
            return;
        }

        if (_metCount == _met.Length)
        {
            Array.Resize(ref _met, 2 * _metCount);
        }

        first = new(one, plan, first);
        _met[_metCount++] = first;
        if (plan.Differ is { } differ)
        {
            if (_slotCount == _slots.Length)
            {
                Array.Resize(ref _slots, 2 * _slotCount);
            }

            _slots[_slotCount++] = new() { Object = one, Copy = plan.Copy(one), Differ = differ, Plan = plan };
        }
    }

    /// <summary>Keeps what an object held at the mark before, and takes over what it holds now.</summary>
    private void KeepChange(int slot)
    {
        if (_changeCount == _changes.Length)
        {
            Array.Resize(ref _changes, 2 * _changeCount);
        }

        // What the update meets may move the slots.
        var (one, copy, plan, spare) = (_slots[slot].Object, _slots[slot].Copy, _slots[slot].Plan, _slots[slot].Spare);
        if (spare is not null && spare.TryPop(out var before))
        {
            plan.PutBack!(copy, before);
        }
        else
        {
            before = plan.Copy(copy);
        }

        _changes[_changeCount++] = new(slot, before);
        plan.Update!(one, copy, this);
    }

    /// <summary>Where those stand who have stepped; the others stand where they stood.</summary>
    private void KeepFrames()
    {
        var chains = ChainsOf(Count);
        if (Count > 0)
        {
            ChainsOf(Count - 1).CopyTo(chains);
        }

        for (var stepped = _stepped; stepped != 0; stepped &= stepped - 1)
        {
            var actor = BitOperations.TrailingZeroCount(stepped);
            var chain = _spareChains.TryPop(out var spare) ? spare : new();
            chains[actor] = chain;
            IsWhole &= chain.Keep(_actors[actor]);
            for (var i = 0; i < chain.Count; i++)
            {
                TypePlan.Of(chain[i].GetType()).Visit(chain[i], this);
            }
        }
    }

    private int PlaceOf(object one) => RuntimeHelpers.GetHashCode(one) & (_table.Length - 1);
}

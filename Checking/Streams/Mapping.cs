using System.Runtime.InteropServices;
using Fleet.Kernel.History;

namespace Fleet.Checking.Streams;

internal enum MappingPhase : byte { Mapped, TearingDown, Removed }

/// <summary>One chunk of a device's pool and the mapping behind it, as the device's own events tell of them.</summary>
internal sealed class Mapping
{
    private Teardown? _teardown;

    /// <summary>What a mapping has that is torn down, which most of a fleet never are.</summary>
    private sealed class Teardown
    {
        public HistoryEvent? Begin;
        public HistoryEvent? End;
        public List<LiveAllocation>? Made;
    }

    public ulong Start { get; init; }

    public ulong SizeBytes { get; init; }

    /// <summary>The ref that the chunk names as its owner; 0 before patch 4.</summary>
    public int Owner { get; init; }

    /// <summary>Position of <c>chunk_add</c>; 0 when only the teardown was seen.</summary>
    public long AddedSeq { get; init; }

    public int Map { get; set; }

    public MappingPhase Phase { get; set; }

    public HistoryEvent? TeardownBegin
    {
        get => _teardown?.Begin;
        set => Torn.Begin = value;
    }

    public HistoryEvent? TeardownEnd
    {
        get => _teardown?.End;
        set => Torn.End = value;
    }

    /// <summary>Allocations in the range when the teardown began.</summary>
    public int HeldAtBegin { get; set; }

    /// <summary>Those of them, and later ones, that are live still.</summary>
    public int Held { get; set; }

    /// <summary>Allocations that succeeded while it was torn down; null when none did, as it should be.</summary>
    public List<LiveAllocation>? MadeInTeardown
    {
        get => _teardown?.Made;
        set => Torn.Made = value;
    }

    private Teardown Torn => _teardown ??= new();

    public bool Contains(ulong address) => address >= Start && unchecked(address - Start) < SizeBytes;

    public bool Overlaps(ulong start, ulong sizeBytes) => Contains(start) || unchecked(Start - start) < sizeBytes;
}

/// <summary>One node of a device's devres list.</summary>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct RegisteredNode(
    int Node, int Data, string? Fn, long AddedSeq, bool IsAction, bool AddedInPass);

/// <summary>Something allocated in the modelled kernel.</summary>
/// <param name="Id">Of its name.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct ModelledObject(int Id, string? Kind, int Life, long FreedSeq);

/// <summary>The modelled objects of one device, by the ids of their names.</summary>
/// <remarks>
/// A binding has three and one for each further resource: a table only where many were never freed. A part of its
/// device, not to be copied.
/// </remarks>
internal struct ModelledObjects
{
    private const int FewMax = 16;

    private ModelledObject[]? _few;
    private int _count;
    private Dictionary<int, ModelledObject>? _many;

    public readonly IEnumerable<ModelledObject> All =>
        _many is not null ? _many.Values : _few is null ? [] : _few.Take(_count);

    public readonly bool TryGetValue(int id, out ModelledObject known)
    {
        if (_many is not null)
        {
            return _many.TryGetValue(id, out known);
        }

        var place = PlaceOf(id);
        known = place < 0 ? default : _few![place];
        return place >= 0;
    }

    public void Note(in ModelledObject known)
    {
        if (_many is not null)
        {
            _many[known.Id] = known;
            return;
        }

        var place = PlaceOf(known.Id);
        if (place >= 0)
        {
            _few![place] = known;
            return;
        }

        if (_count == FewMax)
        {
            _many = All.ToDictionary(one => one.Id);
            _few = null;
            _many.Add(known.Id, known);
            return;
        }

        if (_few is null || _count == _few.Length)
        {
            Array.Resize(ref _few, _count < 3 ? 3 : Math.Min(FewMax, _count * 2));
        }

        _few[_count++] = known;
    }

    public void ForgetFreed()
    {
        var left = All.Where(one => one.FreedSeq == 0).ToList();
        if (left.Count > FewMax)
        {
            _many = left.ToDictionary(one => one.Id);
        }
        else
        {
            (_few, _count, _many) = ([.. left], left.Count, null);
        }
    }

    private readonly int PlaceOf(int id)
    {
        for (var i = 0; i < _count; i++)
        {
            if (_few![i].Id == id)
            {
                return i;
            }
        }

        return -1;
    }
}

/// <summary>
/// An allocation that was live when its mapping was gone: reported once that is proven and its life ended unfenced.
/// </summary>
internal sealed class HeldAtRemoval(Action report)
{
    private bool _proven;
    private bool _ended;

    public void Prove()
    {
        _proven = true;
        if (_ended)
        {
            report();
        }
    }

    public void EndLife()
    {
        _ended = true;
        if (_proven)
        {
            report();
        }
    }
}

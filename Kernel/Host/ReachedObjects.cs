using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Fleet.Kernel.Host;

/// <summary>What an operation of one object reaches, object through object, fetched from memory all at once.</summary>
/// <remarks>
/// The objects of a device that was not used for long lie in no near cache, and each is found only through the one
/// before it. Before an operation begins, all of them are asked for; the loads then wait for memory together. A hint:
/// what is missing or out of date here costs time and nothing else. It keeps what it holds alive: whoever fills it
/// clears it when that is over. Concurrency: one turn. Source: docs/decisions/0160.
/// </remarks>
public sealed class ReachedObjects
{
    /// <summary>Objects that it holds at most; what comes later is left out.</summary>
    public const int Max = 20;

    private const int LineBytes = 64;

    private Slots _objects;

    [InlineArray(Max)]
    private struct Slots
    {
        private object? _first;
    }

    public int Count { get; private set; }

    public void Add(object? reached)
    {
        if (reached is not null && Count < Max)
        {
            _objects[Count++] = reached;
        }
    }

    public bool Contains(object reached)
    {
        foreach (var one in _objects)
        {
            if (ReferenceEquals(one, reached))
            {
                return true;
            }
        }

        return false;
    }

    public void Clear()
    {
        _objects = default;
        Count = 0;
    }

    /// <summary>Asks for the first 128 bytes of each, and waits for none.</summary>
    public void Fetch()
    {
        if (!Sse.IsSupported)
        {
            return; // There is no such instruction in what .NET offers elsewhere.
        }

        var slots = ((ReadOnlySpan<object?>)_objects)[..Count];
        foreach (ref readonly var slot in slots)
        {
            FetchOne(slot);
        }
    }

    /// <remarks>
    /// The reference is taken as the address that it is: to ask for a field by it would look first whether it is null,
    /// by reading from the object, and that waits. An address that the collector makes out of date meanwhile is as good
    /// as none.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe void FetchOne(in object? slot)
    {
        var address = Unsafe.As<object?, nint>(ref Unsafe.AsRef(in slot));
        Sse.Prefetch0((void*)address);
        Sse.Prefetch0((void*)unchecked(address + LineBytes));
    }
}

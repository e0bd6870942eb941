using System.IO.MemoryMappedFiles;
using Fleet.Kernel.History;

namespace Fleet.Storage.Spool;

/// <summary>Where a load stood when its process wrote last.</summary>
/// <param name="ElapsedNs">How much of the load's own time had gone by.</param>
/// <param name="AtNs">When this was written, on the clock of the process.</param>
/// <param name="IsOver">The load had ended: nothing more was due.</param>
public readonly record struct LoadStand(long ElapsedNs, long AtNs, bool IsOver);

/// <summary>The last operation that a logical client sent.</summary>
/// <param name="Steps">Turns of the load that the client had begun, this one included.</param>
/// <param name="Operation">As it was sent; its outcome is not known here.</param>
public readonly record struct LastSent(long Steps, Operation Operation);

/// <summary>
/// What the clients of a process sent last, in the page cache before it leaves: a spool says what was answered, this
/// file what was asked.
/// </summary>
/// <remarks>
/// Each client overwrites its own slot, so the file has a fixed size however long the load. A slot is there twice and
/// written in turns: a process that is killed within a write leaves the one before. Concurrency: one writer for each
/// slot.
/// </remarks>
public sealed unsafe class SentFile : IDisposable
{
    private const string FileName = "sent";
    private const int CopyBytes = 192;
    private const int SlotBytes = 2 * CopyBytes;
    private const int PayloadAt = 16;
    private const int TailAt = CopyBytes - 8;

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private readonly int _slots;

    private SentFile(string path, int slots)
    {
        _slots = slots + 1;
        _file = MemoryMappedFile.CreateFromFile(path, FileMode.Create, null, (long)_slots * SlotBytes);
        _view = _file.CreateViewAccessor();
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    /// <param name="directory">Of the process's spool; it goes with it.</param>
    /// <param name="slots">Clients that may send.</param>
    public static SentFile Create(string directory, int slots)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(slots);
        return new(Path.Combine(directory, FileName), slots);
    }

    /// <summary>Says what a client is about to send.</summary>
    /// <param name="slot">From 0; the client's own.</param>
    /// <param name="steps">Turns of the load that it has begun, this one included.</param>
    public void Sending(int slot, long steps, in Operation operation)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)slot + 1, (uint)_slots);
        var to = Begin(slot + 1);
        *(long*)(to + 8) = steps;
        OperationCodec.Write(new Span<byte>(to + PayloadAt, OperationCodec.Bytes), operation);
        End(to);
    }

    /// <summary>Says how far the load is; several times a second.</summary>
    public void Stand(LoadStand stand)
    {
        var to = Begin(0);
        var values = (long*)(to + PayloadAt);
        (values[0], values[1], values[2]) = (stand.ElapsedNs, stand.AtNs, stand.IsOver ? 1 : 0);
        End(to);
    }

    /// <summary>Reads what a process left that is gone.</summary>
    /// <returns>Null where there is no such file, or the load had not begun.</returns>
    public static SentBefore? Read(string directory)
    {
        var path = Path.Combine(directory, FileName);
        if (!File.Exists(path))
        {
            return null;
        }

        var bytes = File.ReadAllBytes(path);
        if (Newest(bytes, 0) is not { } stand)
        {
            return null;
        }

        var values = bytes.AsSpan(stand + PayloadAt);
        var sent = new List<LastSent?>();
        for (var slot = 1; slot < bytes.Length / SlotBytes; slot++)
        {
            sent.Add(Newest(bytes, slot) is { } at ? ReadSlot(bytes, at) : null);
        }

        return new(
            new(
                BitConverter.ToInt64(values), BitConverter.ToInt64(values[8..]),
                BitConverter.ToInt64(values[16..]) != 0),
            sent);
    }

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }

    private static LastSent ReadSlot(byte[] bytes, int at)
    {
        OperationCodec.Read(bytes.AsSpan(at + PayloadAt), out var operation);
        return new(BitConverter.ToInt64(bytes, at + 8), operation);
    }

    /// <returns>Where the newest whole copy of a slot begins.</returns>
    private static int? Newest(byte[] bytes, int slot)
    {
        var (first, second) = (slot * SlotBytes, (slot * SlotBytes) + CopyBytes);
        var (one, other) = (TurnOf(bytes, first), TurnOf(bytes, second));
        return one == 0 && other == 0 ? null : one > other ? first : second;
    }

    private static long TurnOf(byte[] bytes, int at) =>
        BitConverter.ToInt64(bytes, at) is var turn && turn == BitConverter.ToInt64(bytes, at + TailAt) ? turn : 0;

    private byte* Begin(int slot)
    {
        var first = _start + ((long)slot * SlotBytes);
        var (one, other) = (*(long*)first, *(long*)(first + CopyBytes));
        var to = one > other ? first + CopyBytes : first;
        Volatile.Write(ref *(long*)to, Math.Max(one, other) + 1);
        return to;
    }

    private static void End(byte* to) => Volatile.Write(ref *(long*)(to + TailAt), *(long*)to);
}

/// <summary>What the clients of a process that is gone had sent last.</summary>
public sealed class SentBefore(LoadStand stand, IReadOnlyList<LastSent?> sent)
{
    private readonly Dictionary<int, Operation> _byClient = sent.Where(one => one is not null)
        .ToDictionary(one => one!.Value.Operation.Client, one => one!.Value.Operation);

    public LoadStand Stand => stand;

    /// <summary>By slot; null for a client that sent nothing.</summary>
    public IReadOnlyList<LastSent?> Sent => sent;

    /// <summary>Whether a number that was reserved for a client had been used.</summary>
    public bool WasUsed(int client, long number) =>
        _byClient.TryGetValue(client, out var last) && number <= last.Number;

    /// <summary>The operation behind a number that has no record; all that is known is its client where it was not the
    /// last one.</summary>
    public Operation Unanswered(in ReservedNumbers block, long number) =>
        _byClient.TryGetValue(block.Client, out var last) && last.Number == number
            ? last with { Outcome = OperationOutcome.Unknown, DoneNs = Math.Max(last.SentNs, stand.AtNs) }
            : new()
            {
                Number = number,
                Client = block.Client,
                Session = block.Session,
                Outcome = OperationOutcome.Unknown,
            };
}

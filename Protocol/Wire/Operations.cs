using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Protocol.Wire;

/// <summary>Where in its own stream the answering object executed an operation.</summary>
/// <remarks>The object is the one that was called, so its name is not repeated. <c>Seq</c> 0 = it executed nothing.</remarks>
public readonly record struct At(int Gen, long Seq, int Life);

/// <summary>Asks a device for memory.</summary>
/// <param name="Op">Number of the operation, unique in the run.</param>
/// <param name="Session">Number of the caller's session in the run.</param>
public readonly record struct AllocRequest(long Op, int Session, ulong SizeBytes);

/// <param name="Number">Number of the allocation within <see cref="At.Gen"/>, from 1; 0 when there is none.</param>
/// <param name="Resource">Index of the resource the memory lies in; -1 when there is none.</param>
/// <param name="Owner">Index of the resource whose ref owns the chosen chunk, also on a refusal; -1 = none, as before patch 5.</param>
public readonly record struct AllocReply(Errno Err, At At, long Number, ulong Address, short Resource, short Owner);

/// <summary>Gives memory back.</summary>
/// <param name="Gen">Incarnation of the device that gave it; another one answers <see cref="Errno.ENODEV"/>.</param>
public readonly record struct FreeRequest(long Op, int Session, int Gen, long Number, ulong Address, ulong SizeBytes);

public readonly record struct FreeReply(Errno Err, At At, short Owner);

/// <summary>Reads or writes the tags of pages, as their holder does.</summary>
/// <param name="Gen">Incarnation of the device that gave the allocation.</param>
/// <param name="Number">Number of the allocation.</param>
/// <param name="Pfn">First page frame.</param>
/// <param name="PageCount">Pages, at least 1.</param>
/// <param name="Tag">What to write into each; 0 for a read.</param>
public readonly record struct AccessRequest(
    long Op, int Session, int Gen, long Number, ulong Pfn, int PageCount, AccessDirection Direction, AccessVia Via, ulong Tag);

/// <param name="Err">
/// <see cref="Errno.EFAULT"/>: executed, the memory was removed; <see cref="Errno.ESTALE"/>: the session is barred, nothing
/// was touched; <see cref="Errno.ENODEV"/>: an earlier incarnation's handle, nothing was touched.
/// </param>
/// <param name="Tag">What the first page holds after the access; for a read of pages that differ, the first that differs.</param>
public readonly record struct AccessReply(Errno Err, At At, ulong Tag);

/// <summary>Progress of a bind or unbind: done, or a ticket to ask again with.</summary>
/// <param name="Ticket">Number at its device and incarnation, from 1.</param>
/// <param name="Err">Result once done.</param>
/// <param name="At">Position of the begin event; once done, of the end event.</param>
/// <param name="WaitsFor">While it waits: what for and who holds it, in words; null otherwise.</param>
public readonly record struct TicketReply(long Ticket, bool IsDone, Errno Err, At At, string? WaitsFor);

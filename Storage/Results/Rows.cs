using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Storage.Results;

/// <summary>From the object numbers of one process to those of a store.</summary>
/// <param name="Numbers">Indexed by the process's number; null when both are the same.</param>
internal readonly record struct ObjectMap(int[]? Numbers)
{
    public int this[int id] => Numbers is null ? id : Numbers[id];
}

/// <summary>An operation as the row that both stores hold: what says nothing is null and takes no room.</summary>
/// <remarks>
/// Numbers that are small in practice have a column of 4 bytes and a second one of 8 for the rare large value, so that
/// a row stays below 96 bytes in PostgreSQL without a limit on the length of a run. See docs/schema.md.
/// </remarks>
/// <param name="deviceDefault">Device of the position's object, in the numbers of the process; 0 if none.</param>
/// <param name="session">Session that the client was first seen with, in the numbers of the store.</param>
internal readonly ref struct OperationRow(in Operation op, ObjectMap map, int deviceDefault, bool isAtMap, int session)
{
    private readonly ref readonly Operation _op = ref op;
    private readonly ObjectMap _map = map;
    private readonly int _deviceDefault = deviceDefault;
    private readonly int _mapDefault = isAtMap ? op.At.Obj : 0;
    private readonly int _session = session;

    /// <exception cref="StorageException">The number does not fit beside the code.</exception>
    public long NumberCode => RowPacking.PackNumber(_op);

    /// <summary>Whether all that the row says stands in the columns that most operations need.</summary>
    public bool IsNarrow =>
        Gen is null && Life is not 0 && Map is null && Device is null && Session is null && AllocGen is null
        && Pages is not 0 && _op.Of == 0 && Address is null && RowPacking.IsSmall(Late) && RowPacking.IsSmall(Took)
        && RowPacking.IsSmall(Size) && RowPacking.IsSmall(Seq) && RowPacking.IsSmall(AllocNumber)
        && RowPacking.IsSmall(Pfn);

    public long SentNs => _op.SentNs;

    public long Late => unchecked(_op.SentNs - _op.IntendedNs);

    public long Took => unchecked(_op.DoneNs - _op.SentNs);

    /// <summary>Null where <see cref="Page"/> says it.</summary>
    public long? Address => Page is null ? Bits(_op.Address) : null;

    /// <summary>Where the address begins a page below 8 TiB, its number.</summary>
    public int? Page => _op.Address != 0 && RowPacking.IsSmallPage(_op.Address)
        ? (int)(_op.Address >> RowPacking.PageShift)
        : null;

    public long Size => unchecked((long)_op.SizeBytes);

    public long Pfn => unchecked((long)_op.Pfn);

    public long? Tag => Bits(_op.Tag);

    public long TagBits => unchecked((long)_op.Tag);

    public long? Of => _op.Of == 0 ? null : _op.Of;

    public int Client => _map[_op.Client];

    public int? Obj => Id(_op.At.Obj);

    /// <summary>Null is 1: an object that never failed over.</summary>
    public int? Gen => _op.At.IsNone || _op.At.Gen == 1 ? null : _op.At.Gen;

    /// <summary>Null is 1: the first life of a device.</summary>
    public int? Life => _op.At.IsNone || _op.At.Life == RowPacking.DefaultLife ? null : _op.At.Life;

    public long Seq => _op.At.Seq;

    public long AllocNumber => _op.Alloc.Number;

    /// <summary>Null is the incarnation of the position, or 1 where the position is not at the device.</summary>
    public int? AllocGen =>
        _op.Alloc.IsNone
            || _op.Alloc.Gen == RowPacking.DefaultAllocGen(!_op.At.IsNone && _op.At.Obj == _op.Device, _op.At.Gen)
            ? null
            : _op.Alloc.Gen;

    public int? Owner => Id(_op.Owner);

    /// <summary>Null is the object of the position where that is a map, else none.</summary>
    public int? Map => _op.Map == _mapDefault ? null : _map[_op.Map];

    /// <summary>Null is the device of the position's object.</summary>
    public int? Device => _op.Device == _deviceDefault ? null : _map[_op.Device];

    /// <summary>Null is the session that the client was first seen with.</summary>
    public int? Session => _map[_op.Session] == _session ? null : _map[_op.Session];

    /// <summary>Null is 1 for an access, 0 for everything else.</summary>
    public int? Pages => _op.PageCount == RowPacking.DefaultPages(_op.Kind) ? null : _op.PageCount;

    public short? Err => _op.Err is Errno.OK ? null : (short)_op.Err;

    private int? Id(int id) => id == 0 ? null : _map[id];

    private static long? Bits(ulong value) => value == 0 ? null : unchecked((long)value);
}

/// <summary>What both writing and reading a row must agree on.</summary>
internal static class RowPacking
{
    public const int PageShift = 12;
    public const int DefaultLife = 1;

    private const int CodeBits = 10;
    private const int CodeMask = (1 << CodeBits) - 1;

    public static bool IsSmallPage(ulong address) =>
        (address & ((1UL << PageShift) - 1)) == 0 && address >> PageShift <= int.MaxValue;

    public static int DefaultPages(OperationKind kind) => kind is OperationKind.Access ? 1 : 0;

    public static int DefaultAllocGen(bool isAtDevice, int gen) => isAtDevice ? gen : 1;

    public static long? Some(long value) => value == 0 ? null : value;

    public static bool IsSmall(long value) => value is >= int.MinValue and <= int.MaxValue;

    public static int? Small(long value) => IsSmall(value) ? (int)value : null;

    public static int? SmallOrNone(long value) => value == 0 ? null : Small(value);

    public static long? Large(long value) => IsSmall(value) ? null : value;

    /// <summary>The code below the number; of the code, kind in bits 0-3, outcome in 4-5, direction in 6-7, via in
    /// 8-9.</summary>
    /// <exception cref="StorageException">The number is 2^53 or more.</exception>
    public static long PackNumber(in Operation op) => op.Number is < 0 or > long.MaxValue >> CodeBits
        ? throw new StorageException(
            $"The operation {op.Number} cannot be stored; numbers from 0 to {long.MaxValue >> CodeBits} are accepted.")
        : (op.Number << CodeBits)
        | (uint)((int)op.Kind | ((int)op.Outcome << 4) | ((int)op.Direction << 6) | ((int)op.Via << 8));

    public static void UnpackNumber(long numberCode, ref Operation op)
    {
        var code = (int)(numberCode & CodeMask);
        op.Number = numberCode >> CodeBits;
        op.Kind = (OperationKind)(code & 15);
        op.Outcome = (OperationOutcome)((code >> 4) & 3);
        op.Direction = (AccessDirection)((code >> 6) & 3);
        op.Via = (AccessVia)((code >> 8) & 3);
    }
}

/// <summary>
/// Where an object comes in the order of a stored history: by device; its maps, refs and pool before itself.
/// </summary>
internal static class SortKey
{
    /// <param name="id">Number in the store.</param>
    /// <param name="device">Device that it belongs to, as a number in the store; 0 if none.</param>
    public static long Of(int id, int device, ObjectKind kind) =>
        ((long)(device == 0 ? id : device) << 33)
        | (kind switch { ObjectKind.Map => 0L, ObjectKind.Ref => 1L, ObjectKind.Device => 3L, _ => 2L } << 31)
        | (uint)id;
}

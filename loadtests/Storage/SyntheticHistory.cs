using Fleet.Kernel.History;
using Fleet.Storage.Results;

namespace Fleet.LoadTests.Storage;

/// <summary>A valid history of any length: every device allocates, touches and frees, page after page.</summary>
/// <remarks>Shaped like a run's: positions of device and map, an owner, times, a few hundred clients.</remarks>
internal sealed class SyntheticHistory
{
    private const int Devices = 1000;
    private const int Clients = 256;
    private const int Pages = 4096;

    /// <summary>From the intended moment to the call: a schedule's operation is never sent at its very
    /// nanosecond.</summary>
    private const int LateNs = 2_000;

    private readonly (int Device, int Map, int Ref)[] _objects;
    private readonly int[] _clients;
    private readonly int _session;
    private readonly long[] _deviceSeq = new long[Devices];
    private readonly long[] _mapSeq = new long[Devices];
    private readonly long[] _allocs = new long[Devices];
    private long _number;
    private HistoryBatch? _batch;

    public SyntheticHistory()
    {
        _session = Objects.Intern("session:gen-1");
        _clients = [.. Enumerable.Range(1, Clients).Select(i => Objects.Intern($"client:gen-1-{i}"))];
        _objects =
        [
            .. Enumerable.Range(0, Devices).Select(i => $"host-{i / 20:d4}/0000:{i % 20:x2}:00.0").Select(
                key => (
                    Objects.Intern($"dev:{key}"), Objects.Intern($"map:{key}/bar4"),
                    Objects.Intern($"ref:{key}/bar4"))),
        ];
    }

    public ObjectTable Objects { get; } = new();

    /// <summary>The first event of every object.</summary>
    public HistoryBatch Begin()
    {
        var batch = new HistoryBatch(Objects, 1);
        for (var i = 0; i < Devices; i++)
        {
            batch.Events.Add(First(_objects[i].Device, ++_deviceSeq[i]));
            batch.Events.Add(First(_objects[i].Map, ++_mapSeq[i]));
            batch.Events.Add(First(_objects[i].Ref, 1));
        }

        return batch;
    }

    /// <summary>The next operations: alloc, write, free of one device, then of the next one.</summary>
    /// <param name="rows">Rounded down to whole allocations.</param>
    public HistoryBatch Next(int rows, int proc)
    {
        var batch = _batch ??= new(Objects, proc);
        batch.Clear();
        while (batch.OperationCount + 3 <= rows)
        {
            var at = (int)(_number / 3 % Devices);
            var (device, map, owner) = _objects[at];
            var alloc = new AllocId(device, 1, ++_allocs[at]);
            var address = 0x40_0000_0000 + ((ulong)at << 24) + ((ulong)(alloc.Number % Pages) << 12);
            var client = _clients[_number / 3 % Clients];
            batch.Add(Of(OperationKind.Alloc, client, device, ++_deviceSeq[at], alloc) with
            {
                Address = address,
                SizeBytes = 4096,
                Owner = owner,
            });
            batch.Add(Of(OperationKind.Access, client, map, ++_mapSeq[at], alloc) with
            {
                Device = device,
                Map = map,
                Pfn = address >> 12,
                PageCount = 1,
                Direction = AccessDirection.Write,
                Via = AccessVia.Dma,
                Tag = (ulong)_number,
            });
            batch.Add(Of(OperationKind.Free, client, device, ++_deviceSeq[at], alloc) with
            {
                Address = address,
                SizeBytes = 4096,
                Owner = owner,
            });
        }

        return batch;
    }

    private Operation Of(OperationKind kind, int client, int obj, long seq, AllocId alloc)
    {
        var sentNs = 1_000_000_000_000 + (_number * 20_000);
        return new()
        {
            Number = ++_number,
            Kind = kind,
            Outcome = OperationOutcome.Ok,
            Client = client,
            Session = _session,
            Device = alloc.Device,
            IntendedNs = sentNs - LateNs,
            SentNs = sentNs,
            DoneNs = sentNs + 15_000,
            At = new(obj, 1, seq, 1),
            Alloc = alloc,
        };
    }

    private static HistoryEvent First(int obj, long seq) => new()
    {
        Kind = EventKind.Incarnation,
        At = new(obj, 1, seq, 1),
        Proc = 1,
        Text = "silo-1",
        Fn = "first",
    };
}

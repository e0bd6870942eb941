using System.Collections.Concurrent;
using Fleet.Checking.History;
using Fleet.Checking.Rules;
using Fleet.Checking.Streams;
using Fleet.Kernel.History;

namespace Fleet.Checking;

/// <summary>What an online checker has counted so far.</summary>
/// <param name="Findings">One for each signature, with counts up to now.</param>
public sealed record OnlineSnapshot(
    IReadOnlyList<RuleEvidence> Rules, IReadOnlyDictionary<string, long> Probes, IReadOnlyList<Finding> Findings);

/// <summary>Judges every object's own stream while it happens, inside the object's turn.</summary>
/// <remarks>
/// Concurrency: streams of different objects run on any threads; one stream is one turn at a time.
/// Cost: an operation on a device is one dictionary and one address search; an idle object holds a few hundred bytes.
/// What needs several objects, clocks or the end of the history is left to <see cref="HistoryChecker"/>; its verdict
/// counts.
/// </remarks>
public sealed class OnlineChecker : IObjectStreams
{
    private readonly ObjectTable _objects;
    private readonly Ledger _ledger;
    private readonly CheckContext _context;
    private readonly ConcurrentDictionary<int, DeviceGroup> _groups = [];

    /// <param name="profile">Name of the kernel profile; chooses the remedy that findings name.</param>
    /// <param name="onFinding">
    /// Called once for each signature, on the turn that decided it: must be quick and must not throw. Repetitions are
    /// only counted, see <see cref="Snapshot"/>.
    /// </param>
    public OnlineChecker(string profile, ObjectTable objects, Action<Finding> onFinding)
    {
        _objects = objects;
        _ledger = new(objects, profile, onFinding);
        _context = new(new() { Profile = profile, Source = "live" }, objects, _ledger, online: true);
    }

    public IObjectStream Open(string name, int gen)
    {
        var id = _objects.Intern(name);
        var group = _groups.GetOrAdd(_objects.DeviceOf(id), static _ => new());
        switch (_objects.Kind(id))
        {
            case ObjectKind.Device:
                var device = new DeviceStream(_context, group, id);
                group.Device = device;
                group.Unbinding = false;
                return device;
            case ObjectKind.Ref:
                return new RefStream(_context, group, id);
            case ObjectKind.Map:
                return new MapStream(_context, group, id);
            default:
                return NoStream.Instance;
        }
    }

    public OnlineSnapshot Snapshot() => new(_ledger.Evidence(), _ledger.ProbeCounts(), _ledger.Findings());

    /// <summary>Objects of which no rule says anything.</summary>
    private sealed class NoStream : IObjectStream
    {
        public static readonly NoStream Instance = new();

        public void Observe(HistoryEvent record)
        {
        }

        public void Observe(in Operation record)
        {
        }
    }
}

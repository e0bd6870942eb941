namespace Fleet.Simulation.Cluster;

/// <summary>Lets the faults of a plan strike while the load lasts, all of it drawn from one stream.</summary>
internal sealed class FaultTape(VirtualCluster cluster, VirtualLoad load)
{
    private static readonly TimeSpan PauseDefault = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan DatabaseDefault = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan MessagesDefault = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan AwayDefault = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan PartedDefault = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan IsolatedDefault = TimeSpan.FromSeconds(5);

    /// <summary>Of a message fault that lasts for a time and says no share.</summary>
    private const double MessageShare = 0.05;

    private readonly RandomChoice _random = new(cluster.Plan.Run.Seed, "faults");
    private bool _isOver;

    /// <summary>Sets every fault going.</summary>
    public void Begin()
    {
        foreach (var fault in cluster.Plan.Faults)
        {
            if (fault.Probability > 0)
            {
                cluster.Messages.Add(fault.Kind, fault.Probability);
            }
            else if (fault.At is { } at)
            {
                cluster.Time.After(RandomChoice.Nanoseconds(at), () => Strike(fault));
            }
            else if (fault.EveryMean is { } mean)
            {
                Next(fault, mean);
            }
        }
    }

    /// <summary>Nothing strikes any more, and what lasts ends: the core is healed.</summary>
    public void End()
    {
        _isOver = true;
        cluster.Heal();
    }

    private void Next(FaultPlan fault, TimeSpan mean) => cluster.Time.After(_random.Exponential(mean), () =>
    {
        if (!_isOver)
        {
            Strike(fault);
            Next(fault, mean);
        }
    });

    private void Strike(FaultPlan fault)
    {
        if (_isOver)
        {
            return;
        }

        switch (fault.Kind)
        {
            case SimulatedFault.SiloKill:
                With(fault, cluster.Kill);
                break;
            case SimulatedFault.SiloPause:
                With(fault, silo => cluster.Pause(silo, RandomChoice.Nanoseconds(fault.For ?? PauseDefault)));
                break;
            case SimulatedFault.SiloRestart:
                With(fault, cluster.Restart);
                break;
            case SimulatedFault.DatabaseDown:
                cluster.Counts.DatabaseFaults++;
                cluster.Database.DownUntilNs = Until(fault, cluster.Database.DownUntilNs);
                break;
            case SimulatedFault.DatabaseSlow:
                cluster.Counts.DatabaseFaults++;
                cluster.Database.SlowUntilNs = Until(fault, cluster.Database.SlowUntilNs);
                break;
            case SimulatedFault.DatabaseCut:
                cluster.Counts.DatabaseFaults++;
                With(fault, silo => cluster.CutFromDatabase(
                    silo, RandomChoice.Nanoseconds(fault.For ?? DatabaseDefault)));
                break;
            case SimulatedFault.Partition:
                With(fault, silo => Part(silo, RandomChoice.Nanoseconds(fault.For ?? PartedDefault)));
                break;
            case SimulatedFault.Isolate:
                With(fault, silo => cluster.Isolate(silo, RandomChoice.Nanoseconds(fault.For ?? IsolatedDefault)));
                break;
            case SimulatedFault.GeneratorKill:
                KillGenerator(fault);
                break;
            case SimulatedFault.SurpriseRemove:
                Remove(fault);
                break;
            default:
                cluster.Messages.Add(fault.Kind, MessageShare);
                cluster.Time.After(
                    RandomChoice.Nanoseconds(fault.For ?? MessagesDefault),
                    () => cluster.Messages.Remove(fault.Kind, MessageShare));
                break;
        }
    }

    /// <summary>A short outage within a longer one does not end that.</summary>
    private long Until(FaultPlan fault, long atLeastNs) =>
        Math.Max(atLeastNs, cluster.NowNs + RandomChoice.Nanoseconds(fault.For ?? DatabaseDefault));

    /// <summary>A silo that serves, while another one does too: a fleet without any is not what is tried.</summary>
    private void With(FaultPlan fault, Action<Silo> strike)
    {
        var serving = cluster.Silos.Where(cluster.IsServing).ToList();
        var number = int.TryParse(fault.Target, out var named) ? named : 0;
        var targets = serving.Where(silo => number == 0 || silo.Number == number).ToList();
        if (serving.Count > 1 && targets.Count > 0)
        {
            strike(targets[_random.Below(targets.Count)]);
        }
    }

    private void Part(Silo silo, long forNs)
    {
        var others = cluster.Silos.Where(other => cluster.IsServing(other) && !ReferenceEquals(other, silo)).ToList();
        cluster.Partition(silo, others[_random.Below(others.Count)], forNs);
    }

    /// <summary>Never the first, which drives the run.</summary>
    private void KillGenerator(FaultPlan fault)
    {
        var living = load.Generators.Where(one => one.Place > 0 && !one.IsDead
            && (fault.Target is null || fault.Target == $"{one.Place + 1}")).ToList();
        if (living.Count > 0)
        {
            load.Kill(living[_random.Below(living.Count)], RandomChoice.Nanoseconds(fault.For ?? AwayDefault));
        }
    }

    private void Remove(FaultPlan fault)
    {
        var place = cluster.Devices.ToList().FindIndex(device => device.Key == fault.Target);
        cluster.Counts.Removals++;
        cluster.Fence(cluster.DeviceGrain(place >= 0 ? place : _random.Below(cluster.Devices.Count)));
    }
}

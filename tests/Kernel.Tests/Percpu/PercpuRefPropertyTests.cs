using CsCheck;

namespace Fleet.Kernel.Tests.Percpu;

[Trait("tier", "fast")]
public sealed class PercpuRefPropertyTests
{
    private static readonly Gen<(Command Command, int Cpu)[]> Lives =
        Gen.Select(Gen.Enum<Command>(), Gen.Int[0, 3]).Array[1, 60];

    private enum Command { Get, GetMany, Put, TryGet, TryGetLive, Kill, Grace, Resurrect, ToAtomic, ToPercpu }

    /// <summary>What the plain counter gets wrong on purpose.</summary>
    public enum Planted { None, ReleaseBeforeGrace, SwitchHoldsNothing, LiveAfterKill }

    // Goal: whatever legal callers do, the value is the number of references, and
    // release fires on each descent to 0 and only then.
    // Method: a plain counter that knows no CPUs and no bias runs beside it and must agree after every operation.
    [Fact]
    public void The_ref_agrees_with_a_plain_counter() =>
        Lives.Sample(life => Compare(life, Planted.None), iter: 20_000, threads: 1);

    [Theory]
    [InlineData(Planted.ReleaseBeforeGrace)]
    [InlineData(Planted.SwitchHoldsNothing)]
    [InlineData(Planted.LiveAfterKill)]
    public void A_planted_fault_is_caught(Planted planted) =>
        Assert.Throws<CsCheckException>(() => Lives.Sample(life => Compare(life, planted), iter: 20_000, threads: 1));

    // Goal: kill loses no reference that a tryget_live in progress takes, and release never comes while one is held.
    // Method: every schedule of two holders (flags, increment; flags, decrement), a kill and the callback.
    [Fact]
    public void No_schedule_releases_while_held_or_twice()
    {
        var runs = Schedules(usesReadSection: true, out var broken);
        Assert.True(runs > 1000, $"{runs} schedules");
        Assert.Empty(broken);
    }

    [Fact]
    public void A_planted_holder_without_a_read_section_is_caught()
    {
        Schedules(usesReadSection: false, out var broken);
        Assert.NotEmpty(broken);
    }

    private static int Schedules(bool usesReadSection, out List<string> broken)
    {
        var found = new List<string>();
        var runs = Interleavings.RunAll(() =>
        {
            var test = new PercpuRefUnderTest();
            var held = 0;
            var isBroken = false;
            var (left, right) = (Holder(0), Holder(1));
            return (
                [
                    left,
                    right,
                    () =>
                    {
                        test.Ref.Kill();
                        return false;
                    },
                    () =>
                    {
                        test.Rcu.RunCallback();
                        return false;
                    },
                ],
                schedule =>
                {
                    test.Rcu.RunCallbacks();
                    if (isBroken || test.Releases != 1 || test.Ref.Value != 0)
                    {
                        found.Add(schedule);
                    }
                }
            );

            Func<bool> Holder(int slot)
            {
                var step = 0;
                var flags = PercpuRefFlags.None;
                return () =>
                {
                    switch (step++)
                    {
                        case 0:
                            Enter();
                            flags = test.Ref.ReadFlags();
                            return true;
                        case 1:
                            var isTaken = test.Ref.TryGetLiveIncrement(flags, slot);
                            held += isTaken ? 1 : 0;
                            Exit();
                            return isTaken;
                        case 2:
                            Enter();
                            flags = test.Ref.ReadFlags();
                            return true;
                        default:
                            isBroken |= test.Releases > 0;
                            held--;
                            test.Ref.PutWith(flags, slot);
                            Exit();
                            isBroken |= held > 0 && test.Releases > 0;
                            return false;
                    }
                };

                void Enter()
                {
                    if (usesReadSection)
                    {
                        test.Rcu.EnterRead(slot);
                    }
                }

                void Exit()
                {
                    if (usesReadSection)
                    {
                        test.Rcu.ExitRead(slot);
                    }
                }
            }
        });
        broken = found;
        return runs;
    }

    private static bool Compare((Command Command, int Cpu)[] life, Planted planted)
    {
        var test = new PercpuRefUnderTest();
        var (count, isDead, isSwitching, isCentral, isForced, releases) = (1L, false, false, false, false, 0);
        foreach (var (command, cpu) in life)
        {
            switch (command)
            {
                case Command.Get when count > 0:
                    test.Ref.Get(cpu);
                    count++;
                    break;
                case Command.GetMany when count > 0:
                    test.Ref.Get(cpu, 5);
                    count += 5;
                    break;
                case Command.Put when count > (isDead ? 0 : 1):
                    test.Ref.Put(cpu);
                    count--;
                    releases += count == 0 && (isCentral || planted is Planted.ReleaseBeforeGrace) ? 1 : 0;
                    break;
                case Command.TryGet:
                    if (test.Ref.TryGet(cpu) != (!isCentral || count > 0))
                    {
                        return false;
                    }

                    count += !isCentral || count > 0 ? 1 : 0;
                    break;
                case Command.TryGetLive:
                    if (test.Ref.TryGetLive(cpu) != (!isDead || planted is Planted.LiveAfterKill))
                    {
                        return false;
                    }

                    count += isDead ? 0 : 1;
                    break;
                case Command.Kill when !isDead && !isSwitching:
                    if (test.Ref.Kill() is not { IsDone: true, Warn: PercpuRefWarn.None })
                    {
                        return false;
                    }

                    isDead = true;
                    isSwitching = !isCentral;
                    count--;
                    releases += count == 0 && isCentral ? 1 : 0;
                    break;
                case Command.Grace:
                    if (test.Rcu.RunCallbacks() != (isSwitching ? 1 : 0))
                    {
                        return false;
                    }

                    releases += isSwitching && count == 0 ? 1 : 0;
                    isCentral |= isSwitching;
                    isSwitching = false;
                    break;
                case Command.Resurrect when isDead && !isSwitching:
                    test.Ref.Resurrect(cpu);
                    isDead = false;
                    isCentral = isForced;
                    count++;
                    break;
                case Command.ToAtomic when !isSwitching:
                    test.Ref.SwitchToAtomic();
                    isForced = true;
                    isSwitching = !isCentral;
                    break;
                case Command.ToPercpu when !isSwitching:
                    test.Ref.SwitchToPercpu();
                    isForced = false;
                    isCentral &= isDead;
                    break;
            }

            var value = count + (isSwitching && planted is not Planted.SwitchHoldsNothing ? 1 : 0);
            if (test.Ref.Value != value || test.Releases != releases || test.Ref.IsDying != isDead
                || test.Ref.IsZero != (isCentral && count == 0) || test.Ref.IsSwitching != isSwitching
                || test.FoldWarn is not (PercpuRefWarn.None or PercpuRefWarn.NotPositiveAfterSwitch))
            {
                return false;
            }
        }

        return true;
    }
}

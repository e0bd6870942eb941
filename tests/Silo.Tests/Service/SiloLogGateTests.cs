using Fleet.Silo.Service;
using Microsoft.Extensions.Logging;

namespace Fleet.Silo.Tests.Service;

// Goal: what a strike makes Orleans say again and again is kept out of the log, and nothing else is.
[Trait("tier", "fast")]
public sealed class SiloLogGateTests
{
    private const string LateAnswer = "Orleans.Runtime.CallbackData";
    private const string LateTimer = "Orleans.Runtime.AsyncTimer.SiloHealthMonitor";

    [Fact]
    public void A_caller_with_deadlines_of_its_own_is_not_told_of_answers_that_a_lost_silo_took_along()
    {
        Assert.False(new SiloLogGate { IsCaller = true }.Lets(LateAnswer, LogLevel.Warning));
        Assert.True(new SiloLogGate { IsCaller = true }.Lets(LateAnswer, LogLevel.Error));
    }

    [Theory]
    [InlineData("Orleans.Messaging.GatewayManager")]
    [InlineData("Orleans.Messaging.ClientMessageCenter")]
    public void A_caller_says_once_that_no_silo_is_there_and_not_at_each_call(string category)
    {
        Assert.False(new SiloLogGate { IsCaller = true }.Lets(category, LogLevel.Warning));
        Assert.True(new SiloLogGate { IsCaller = true }.Lets(category, LogLevel.Error));
    }

    [Fact]
    public void An_answer_that_is_late_between_silos_is_told() =>
        Assert.True(new SiloLogGate().Lets(LateAnswer, LogLevel.Warning));

    [Fact]
    public void A_timer_that_came_late_is_told_to_who_asks_for_more_than_warnings()
    {
        Assert.False(new SiloLogGate().Lets(LateTimer, LogLevel.Warning));
        Assert.True(new SiloLogGate().Lets(LateTimer, LogLevel.Error));
        Assert.True(new SiloLogGate { Least = LogLevel.Information }.Lets(LateTimer, LogLevel.Warning));
    }

    [Theory]
    [InlineData("Orleans.Runtime.Catalog")]
    [InlineData("Orleans.Storage")]
    [InlineData("Npgsql.Command")]
    public void Warnings_of_anything_else_are_told(string category)
    {
        Assert.True(new SiloLogGate().Lets(category, LogLevel.Warning));
        Assert.True(new SiloLogGate { IsCaller = true }.Lets(category, LogLevel.Warning));
    }
}

package badgerkv

func adviceGiven(a *adviser) int { return len(a.advised) }
